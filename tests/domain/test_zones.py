import pytest

from app.domain.zones import contact_zones, is_zone, normalize_timezone


class TestIsZone:
    @pytest.mark.parametrize("name", ["", "America", "Mars/Base", "../../etc/passwd", "europe/lisbon", "UTC\0"])
    def test_only_exact_names_of_the_data(self, name: str) -> None:
        assert not is_zone(name)
        assert is_zone("Europe/Lisbon")


class TestNormalizeTimezone:
    def test_spells_as_the_data_does(self) -> None:
        assert normalize_timezone(" europe/LISBON ") == "Europe/Lisbon"

    def test_refuses_what_is_no_zone(self) -> None:
        with pytest.raises(ValueError, match="is not an IANA time zone"):
            normalize_timezone("Lisbon time")


class TestContactZones:
    def test_the_contacts_own_zone_comes_first(self) -> None:
        assert contact_zones("Asia/Tokyo", "+33612345678", "UTC") == ("Asia/Tokyo",)

    def test_then_the_zones_of_its_number(self) -> None:
        assert contact_zones("", "+33612345678", "UTC") == ("Europe/Paris",)
        assert contact_zones("nonsense", "+33612345678", "UTC") == ("Europe/Paris",)

    def test_then_the_tenants(self) -> None:
        assert contact_zones("", "", "America/Sao_Paulo") == ("America/Sao_Paulo",)
        assert contact_zones("", "+80012345678", "America/Sao_Paulo") == ("America/Sao_Paulo",)

    def test_then_utc(self) -> None:
        assert contact_zones("", "", "") == ("UTC",)
