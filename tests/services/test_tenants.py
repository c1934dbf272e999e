import pytest

from app.db import Sessions
from app.errors import InvalidInput
from app.services import tenants
from app.services.tenants import slugify


class TestCreate:
    async def test_the_second_of_a_name_gets_a_number(self, sessions: Sessions) -> None:
        async with sessions.system() as session:
            first = await tenants.create(session, name="São João")
            second = await tenants.create(session, name="sao joao", timezone="europe/lisbon", default_region="pt")
        assert (first.slug, second.slug) == ("sao-joao", "sao-joao-2")
        assert (second.timezone, second.default_region) == ("Europe/Lisbon", "PT")

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"name": "  "}, "/name"),
            ({"timezone": "Mars/Base"}, "/timezone"),
            ({"default_region": "Portugal"}, "/default_region"),
        ],
    )
    async def test_bad_fields_are_named(self, sessions: Sessions, changes: dict[str, str], pointer: str) -> None:
        async with sessions.system() as session:
            with pytest.raises(InvalidInput) as refused:
                await tenants.create(session, **{"name": "Shop", **changes})
        assert [error.pointer for error in refused.value.errors] == [pointer]


class TestSlugify:
    def test_keeps_letters_and_digits_only(self) -> None:
        assert slugify("Café Açaí & Co. 24") == "cafe-acai-co-24"
        assert slugify("日本") == "tenant"
