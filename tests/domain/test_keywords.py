import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.keywords import TABLES, Keyword, classify, normalize


class TestClassify:
    @pytest.mark.parametrize(
        "text",
        [
            "STOP",
            " stop. ",
            "“Stop!”",
            "STOP 🛑",
            "🛑 Stop",
            "s\u200btop",
            "ＳＴＯＰ",
            "Opt-Out",
            "stop all",
            "Arrêt",
            "não receber",
            "NO MÁS",
            "Please stop",
            "stop por favor",
            "Parar, obrigada!",
            "STOP\n",
            "unsubscribe",
            "td",
        ],
    )
    def test_a_stop_in_any_dress(self, text: str) -> None:
        assert classify(text) is Keyword.STOP

    @pytest.mark.parametrize("text", ["START", "unstop", "Começar", "ALTA", "démarrer", "voltar"])
    def test_a_start(self, text: str) -> None:
        assert classify(text) is Keyword.START

    @pytest.mark.parametrize("text", ["help", "INFO", "Ajuda?", "ayuda", "aide"])
    def test_a_call_for_help(self, text: str) -> None:
        assert classify(text) is Keyword.HELP

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "🛑",
            "please",
            "don't stop believing",
            "I can't stop by today",
            "stop the order and send two",
            "cancel my appointment",
            "yes",
            "sim",
            "oui",
            "ok",
            "fine",
            "alto ahí amigo",
        ],
    )
    def test_a_word_within_a_sentence_is_no_keyword(self, text: str) -> None:
        assert classify(text) is None

    def test_stop_and_subscribe_of_one_letter_apart_are_kept_apart(self) -> None:
        assert (classify("ALTO"), classify("ALTA")) == (Keyword.STOP, Keyword.START)

    def test_no_word_is_in_two_tables_and_each_is_stored_normalised(self) -> None:
        words = [word for _, table in TABLES for word in table]
        assert len(words) == len(set(words))
        assert all(normalize(word) == word for word in words)

    @given(
        st.sampled_from([word for _, table in TABLES for word in table]),
        st.sampled_from(["", " ", "!", "…", "🙏", "'"]),
    )
    def test_case_and_surroundings_do_not_matter(self, word: str, around: str) -> None:
        assert classify(around + word.upper() + around) is classify(word) is not None

    @given(st.text(max_size=100))
    def test_any_text_has_an_answer(self, text: str) -> None:
        assert classify(text) in (None, *Keyword)
