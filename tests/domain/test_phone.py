import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.phone import normalize_phone, phone_country, phone_zones

SHARING_REGIONS = [
    region for regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.values() if len(regions) > 1 for region in regions
]
KINDS = [phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE]
CODES = [code for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE if code < 800]


class TestNormalizePhone:
    @pytest.mark.parametrize(
        ("raw", "region", "expected"),
        [
            ("+351912345678", "", "+351912345678"),
            (" +351 912 345 678 ", "US", "+351912345678"),
            ("912 345 678", "PT", "+351912345678"),
            ("912345678", "pt", "+351912345678"),
            ("00351912345678", "PT", "+351912345678"),
            ("(202) 555-0143", "US", "+12025550143"),
            ("+44 (0)20 7946 0958", "", "+442079460958"),
            ("020 7946 0958", "GB", "+442079460958"),
            ("+39 06 6982 0000", "", "+390669820000"),
            ("11 96123-4567", "BR", "+5511961234567"),
        ],
    )
    def test_writes_e164(self, raw: str, region: str, expected: str) -> None:
        assert normalize_phone(raw, region) == expected

    @pytest.mark.parametrize(
        ("raw", "region", "sentence"),
        [
            ("912345678", "", "has no country code"),
            ("912345678", "XX", "has no country code"),
            ("", "PT", "is not a phone number"),
            ("abc", "PT", "is not a phone number"),
            ("3.51912E+11", "PT", "is not a phone number"),
            ("12", "PT", "is not a valid phone number"),
            ("+999123456789", "PT", "is not a phone number"),
            ("+351 912 345", "", "is not a valid phone number"),
            ("912345678 ext. 4", "PT", "has an extension"),
        ],
    )
    def test_says_what_is_wrong(self, raw: str, region: str, sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence):
            normalize_phone(raw, region)

    @given(st.sampled_from(CODES), st.integers(10**5, 10**11))
    def test_the_short_way_answers_as_the_library_does(self, code: int, national: int) -> None:
        raw = f"+{code}{national}"
        try:
            parsed = phonenumbers.parse(raw)
        except phonenumbers.NumberParseException:
            parsed = None
        if parsed is None or not phonenumbers.is_valid_number(parsed):
            with pytest.raises(ValueError, match="is not a"):
                normalize_phone(raw, "PT")
        else:
            assert normalize_phone(raw, "PT") == phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)

    @pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
    def test_the_example_number_of_every_region_stays_as_it_is(self, region: str) -> None:
        for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is not None:
                e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
                assert normalize_phone(e164, "") == e164


class TestPhoneCountry:
    @pytest.mark.parametrize(
        ("e164", "country"),
        [
            ("+351912345678", "PT"),
            ("+12025550143", "US"),
            ("+15062345678", "CA"),
            ("+447400123456", "GB"),
            ("+77012345678", "KZ"),
            ("+79123456789", "RU"),
            ("+80012345678", ""),
            ("+999", ""),
            ("", ""),
        ],
    )
    def test_names_the_country(self, e164: str, country: str) -> None:
        assert phone_country(e164) == country

    @pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
    def test_the_example_number_of_a_region_is_of_it(self, region: str) -> None:
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if example is not None:
            e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            assert phone_country(e164) == phonenumbers.region_code_for_number(example)

    @given(st.sampled_from(SHARING_REGIONS), st.sampled_from(KINDS), st.integers(3, 7), st.integers(0, 10**7 - 1))
    def test_the_short_way_answers_as_the_library_does(self, region: str, kind: int, kept: int, rest: int) -> None:
        """Numbers that begin as the region's example does."""
        example = phonenumbers.example_number_for_type(region, kind)
        if example is None:
            return  # the region has no numbers of this kind
        plain = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        begin = len(str(example.country_code)) + 1 + kept
        e164 = plain[:begin] + f"{rest:07}"[: max(len(plain) - begin, 0)]
        expected = phonenumbers.region_code_for_number(phonenumbers.parse(e164))
        assert phone_country(e164) == (expected or "")


class TestPhoneZones:
    def test_a_country_with_one_zone(self) -> None:
        assert phone_zones("+33612345678") == ("Europe/Paris",)

    def test_an_area_code_narrows_it(self) -> None:
        assert phone_zones("+12125550143") == ("America/New_York",)

    def test_a_mobile_may_be_in_every_zone_of_its_country(self) -> None:
        assert set(phone_zones("+34612345678")) == {"Atlantic/Canary", "Europe/Madrid"}

    @pytest.mark.parametrize("e164", ["+999123", "", "+1"])
    def test_an_unknown_number_tells_nothing(self, e164: str) -> None:
        assert phone_zones(e164) == ()
