import pytest

from app.domain.keywords import Keyword, classify
from app.domain.replies import HELP, reply_to
from app.domain.sms import segments


class TestReplyTo:
    @pytest.mark.parametrize(
        ("lang", "words"),
        [("pt_BR", "responda STOP"), ("fr", "répondez STOP"), ("de", "reply STOP"), ("", "reply STOP")],
    )
    def test_help_is_answered_in_the_contacts_language(self, lang: str, words: str) -> None:
        answer = reply_to(Keyword.HELP, {}, brand="Casa {Azul}", lang=lang)
        assert answer.startswith("Casa {Azul}")
        assert words in answer

    @pytest.mark.parametrize("lang", HELP)
    def test_the_usual_help_is_one_sms_and_no_keyword_itself(self, lang: str) -> None:
        answer = reply_to(Keyword.HELP, {}, brand="A shop of thirty-five letters in all", lang=lang)
        assert segments(answer).segments == 1
        assert classify(answer) is None

    @pytest.mark.parametrize("keyword", [Keyword.STOP, Keyword.START])
    def test_the_others_only_with_the_tenants_own_words(self, keyword: Keyword) -> None:
        assert reply_to(keyword, {}, brand="Shop", lang="en") == ""
        assert reply_to(keyword, {keyword: "Done."}, brand="Shop", lang="en") == "Done."
