import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sms import GSM_ALL, SmsEncoding, outside_gsm, segments, to_gsm

EMOJI = "😀"  # two UTF-16 code units


class TestSegments:
    @pytest.mark.parametrize(
        ("text", "units", "count"),
        [
            ("", 0, 1),
            ("a" * 160, 160, 1),
            ("a" * 161, 161, 2),
            ("a" * 306, 306, 2),
            ("a" * 307, 307, 3),
            ("€" * 80, 160, 1),
            ("€" * 81, 162, 2),
            ("a" * 152 + "€" + "a" * 151, 305, 2),
            ("a" * 152 + "€" + "a" * 152, 306, 3),  # the pair cannot straddle the first boundary
        ],
    )
    def test_gsm_text_is_packed_in_septets(self, text: str, units: int, count: int) -> None:
        found = segments(text)
        assert (found.encoding, found.units, found.segments) == (SmsEncoding.GSM7, units, count)

    @pytest.mark.parametrize(
        ("text", "units", "count"),
        [
            ("ã" * 70, 70, 1),
            ("ã" * 71, 71, 2),
            ("ã" * 134, 134, 2),
            ("ã" * 135, 135, 3),
            (EMOJI * 35, 70, 1),
            (EMOJI * 36, 72, 2),
            (EMOJI * 66, 132, 2),
            (EMOJI * 67, 134, 3),
            ("’", 1, 1),
            ("ç", 1, 1),
        ],
    )
    def test_other_text_is_packed_in_code_units(self, text: str, units: int, count: int) -> None:
        found = segments(text)
        assert (found.encoding, found.units, found.segments) == (SmsEncoding.UCS2, units, count)

    @pytest.mark.parametrize("text", ["Olà è é ù ì ò Ç ñ ü ¿¡", "[a]{b}~^|\\€", "line\nbreak", "@£$¥ΔΦΓ"])
    def test_the_whole_alphabet_stays_gsm(self, text: str) -> None:
        assert segments(text).encoding is SmsEncoding.GSM7

    @pytest.mark.parametrize("text", ["á", "ó", "ê", "“", "–", "\u00a0", "\t", "`"])
    def test_what_looks_latin_but_is_not_gsm(self, text: str) -> None:
        assert segments(text).encoding is SmsEncoding.UCS2

    @given(st.text(max_size=500))
    def test_parts_hold_the_whole_text(self, text: str) -> None:
        found = segments(text)
        single, part = (160, 153) if found.encoding is SmsEncoding.GSM7 else (70, 67)
        if found.units <= single:
            assert found.segments == 1
        else:
            assert -(-found.units // part) <= found.segments <= -(-found.units // (part - 1))


class TestOutsideGsm:
    def test_names_each_character_once_in_order(self) -> None:
        assert outside_gsm("Olá à 😀 á ’") == ("á", "😀", "’")

    def test_nothing_is_outside_in_gsm_text(self) -> None:
        assert outside_gsm("é ñ à €[]") == ()


class TestToGsm:
    @pytest.mark.parametrize(
        ("text", "plain"),
        [
            ("Olá João, é só até amanhã!", "Ola Joao, é so até amanha!"),
            ("Año Müller à Ñ Ç €5 ¿", "Año Müller à Ñ Ç €5 ¿"),
            ("ç œ “x” ’ – … `\t|", "c oe \"x\" ' - ... ' |"),
            ("cafe\u0301", "café"),
            ("a\u200bb\ufeffc\u00a0d", "abc d"),
            ("Привет", "Privet"),
            ("你好", "NiHao"),
            ("Hi 😀 you", "Hi you"),
            ("Hi😀 😀you", "Hi you"),
            ("Hi😀you", "Hiyou"),
            ("🎉 Sale 🎉\n👩‍👩‍👧 now 🇵🇹 👍🏽", "Sale\nnow"),
            ("©™½→★", "(C)TM1/2>*"),
        ],
    )
    def test_keeps_the_letters_that_gsm_has_and_spells_the_others(self, text: str, plain: str) -> None:
        assert to_gsm(text) == plain

    @given(st.text(max_size=80))
    def test_what_it_makes_is_always_gsm(self, text: str) -> None:
        assert segments(to_gsm(text)).encoding is SmsEncoding.GSM7
        assert to_gsm(to_gsm(text)) == to_gsm(text)

    @given(st.text(st.sampled_from(sorted(GSM_ALL)), max_size=80))
    def test_gsm_text_stays_as_it_is(self, text: str) -> None:
        assert to_gsm(text) == text


def parts_of(text: str) -> int:
    """Another way to count: cut the text into parts, one after the other."""
    gsm = all(char in GSM_ALL for char in text)
    sizes = [
        (2 if char in "^{}\\[~]|€\f" else 1) if gsm else len(char.encode("utf-16-be", "surrogatepass")) // 2
        for char in text
    ]
    if sum(sizes) <= (160 if gsm else 70):
        return 1
    parts: list[list[int]] = [[]]
    for size in sizes:
        if sum(parts[-1]) + size > (153 if gsm else 67):
            parts.append([])
        parts[-1].append(size)
    return len(parts)


MIXED = st.text(st.sampled_from("aa€[ ~é"), max_size=700) | st.text(st.sampled_from("aç😀€\u200d"), max_size=300)


class TestSegmentsAgainstCutting:
    @given(MIXED | st.text(max_size=300))
    def test_both_ways_agree(self, text: str) -> None:
        assert segments(text).segments == parts_of(text)

    @pytest.mark.parametrize("length", [159, 160, 161, 305, 306, 307, 458, 459, 460])
    def test_at_every_border_of_gsm(self, length: int) -> None:
        for text in ("a" * length, "a" * (length - 2) + "€", "a" * (length - 3) + "€a"):
            assert segments(text).segments == parts_of(text)

    @pytest.mark.parametrize("length", [69, 70, 71, 133, 134, 135, 200, 201, 202])
    def test_an_emoji_at_every_border_of_ucs2(self, length: int) -> None:
        for text in ("ç" * length, "ç" * (length - 2) + EMOJI, "ç" * (length - 3) + EMOJI + "ç"):
            assert segments(text).segments == parts_of(text)
