import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sms import SmsEncoding, segments

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
