"""What WhatsApp lets people press, checked before it leaves."""

from typing import Any

import pytest

from app.domain.interactive import fits, problems_of

YES = {"id": "yes", "title": "Yes"}
LINK = {"title": "Shop", "url": "https://shop.example.org"}


def rows(count: int) -> list[dict[str, str]]:
    return [{"id": str(n), "title": f"Row {n}"} for n in range(count)]


def listed(*sections: Any) -> dict[str, Any]:
    return {"list": {"button": "Choose", "sections": list(sections)}}


class TestProblemsOf:
    @pytest.mark.parametrize(
        "content",
        [
            {"buttons": [YES]},
            {"buttons": [{"id": "i" * 256, "title": f"{n}" * 20} for n in range(1)], "header": "h" * 60, "footer": "f"},
            listed({"rows": rows(10)}),
            listed({"title": "A", "rows": rows(1)}, {"title": "B", "rows": [{"id": "z", "title": "Z"}]}),
            {"cta_url": LINK, "footer": "Shop"},
        ],
    )
    def test_what_fits_has_none(self, content: dict[str, Any]) -> None:
        assert problems_of(content, "b" * 1_024) == []
        assert fits({**content, "body": "Hello", "preview_url": True})

    @pytest.mark.parametrize(
        ("content", "pointers"),
        [
            ({}, ["/content"]),
            ({"buttons": [YES], "cta_url": LINK}, ["/content"]),
            ({"buttons": []}, ["/content/buttons"]),
            ({"buttons": [YES] * 4}, ["/content/buttons"]),
            ({"buttons": [YES, YES]}, ["/content/buttons/1/id", "/content/buttons"]),
            ({"buttons": [YES, {"id": "no", "title": "Yes"}]}, ["/content/buttons"]),
            ({"buttons": [{"id": ["a"], "title": "x" * 21}]}, ["/content/buttons/0/id", "/content/buttons/0/title"]),
            ({"buttons": ["Yes"]}, ["/content/buttons/0"]),
            ({"list": []}, ["/content/list"]),
            ({"list": {"button": " ", "sections": []}}, ["/content/list/button", "/content/list/sections"]),
            (listed({"rows": []}), ["/content/list/sections/0/rows"]),
            (listed({"rows": rows(11)}), ["/content/list/sections"]),
            (listed({"rows": rows(1)}, {"title": "B", "rows": rows(1)}),
             ["/content/list/sections/0/title", "/content/list/sections/1/rows/0/id"]),
            (listed({"rows": [{"id": "a", "title": "A", "description": "d" * 73}]}),
             ["/content/list/sections/0/rows/0/description"]),
            ({"cta_url": {"title": "Shop", "url": "javascript:alert(1)"}}, ["/content/cta_url/url"]),
            ({"cta_url": LINK, "header": "h" * 61, "footer": 1}, ["/content/header", "/content/footer"]),
            ({"cta_url": LINK, "picture": "x"}, ["/content/picture"]),
        ],
    )  # fmt: skip
    def test_each_is_named_where_it_is(self, content: dict[str, Any], pointers: list[str]) -> None:
        assert [error.pointer for error in problems_of(content, "Hello")] == pointers

    def test_a_long_text_is_named(self) -> None:
        assert [error.pointer for error in problems_of({"buttons": [YES]}, "b" * 1_025)] == ["/text"]
        assert not fits({"body": "b" * 1_025, "buttons": [YES]})
        assert not fits({"body": "Hello"})
