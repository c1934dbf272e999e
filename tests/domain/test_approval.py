"""Our values against the placeholders of the approved template."""

from typing import Any

import pytest

from app.domain.approval import mismatches, uses_of

BODY = {"type": "BODY", "text": "Hi {{1}}, your code is {{2}}. Yes, {{2}}."}
NAMED = {"type": "BODY", "text": "Hi {{first_name}}, {{code}}"}
URL_BUTTON = {"type": "URL", "url": "https://shop.example.org/{{1}}"}
PLAIN_URL = {"type": "URL", "url": "https://shop.example.org"}
QUICK = {"type": "QUICK_REPLY", "text": "Track"}


def buttons(*items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "BUTTONS", "buttons": list(items)}


def problems(part: dict[str, Any], *components: dict[str, Any]) -> list[str]:
    [use] = uses_of({"whatsapp": {"name": "welcome", "language": "en_US", **part}})
    return mismatches(use, components)


class TestUsesOf:
    def test_each_language_with_its_own_is_one(self) -> None:
        schema = {
            "whatsapp": {"name": "welcome", "language": "en_US", "body": ["a"]},
            "i18n": {"pt": {"whatsapp": {"language": "pt_PT"}}, "fr": {"body": "Bonjour"}},
        }
        first, second = uses_of(schema)
        assert (first.lang, first.key, first.pointer) == ("", ("welcome", "en_US"), "/core_schema/whatsapp")
        assert (second.lang, second.key) == ("pt", ("welcome", "pt_PT"))
        assert second.pointer == "/core_schema/i18n/pt/whatsapp"
        assert second.body == ["1"]

    def test_a_template_without_one_needs_none(self) -> None:
        assert uses_of({"blocks": {"body": "Hi"}}) == []
        assert uses_of({"blocks": {"body": "Hi"}, "i18n": None}) == []


class TestMismatches:
    @pytest.mark.parametrize(
        ("part", "components"),
        [
            ({"body": ["a", "b"]}, [BODY]),
            ({"body": {"code": "a", "first_name": "b"}}, [NAMED]),
            ({}, [{"type": "BODY", "text": "Hello"}, {"type": "FOOTER", "text": "Bye"}]),
            ({"header": ["a"]}, [{"type": "HEADER", "format": "TEXT", "text": "{{1}}"}]),
            ({"header": {"type": "image", "link": "x"}}, [{"type": "HEADER", "format": "IMAGE"}]),
            ({"buttons": [{"type": "url", "text": "x"}]}, [buttons(URL_BUTTON, PLAIN_URL)]),
            ({"buttons": [{"type": "quick_reply", "index": 1, "payload": "x"}]}, [buttons(PLAIN_URL, QUICK)]),
            ({}, [buttons(QUICK)]),  # its payload may be left out
            ({"buttons": [{"text": "123456"}]}, [buttons({"type": "OTP", "otp_type": "COPY_CODE"})]),
        ],
    )
    def test_what_fits_has_none(self, part: dict[str, Any], components: list[dict[str, Any]]) -> None:
        assert problems(part, *components) == []

    @pytest.mark.parametrize(
        ("part", "component", "named"),
        [
            ({"body": ["a"]}, BODY, "/core_schema/whatsapp/body: the approved body has 2 placeholders, but 1 value is"),
            ({}, BODY, "but no values are given"),
            ({"body": ["a", "b"]}, {"type": "BODY", "text": "Hi"}, "has no placeholders, but 2 values"),
            ({"body": ["a", "b"]}, NAMED, "first_name, code: give an object"),
            ({"body": {"a": "x", "b": "y"}}, BODY, "give a list"),
            (
                {"header": ["a"]},
                {"type": "HEADER", "text": "Hello"},
                "/header: the approved header has no placeholders",
            ),
            ({}, {"type": "HEADER", "text": "{{1}}"}, "has 1 placeholder, but no values are given"),
            ({}, {"type": "HEADER", "format": "VIDEO"}, "of type video: give that"),
            (
                {"header": {"type": "image", "link": "x"}},
                {"type": "HEADER", "text": "Hi"},
                "has no image in its header",
            ),
            ({}, buttons(URL_BUTTON), "/buttons: the address of the approved button 0 has a placeholder"),
            ({"buttons": [{"text": "x"}]}, buttons(PLAIN_URL), "button 0 has no placeholder"),
            ({"buttons": [{"text": "x"}]}, buttons(QUICK), "is of type QUICK_REPLY, not URL"),
            ({"buttons": [{"type": "quick_reply", "payload": "x"}]}, buttons(PLAIN_URL), "not QUICK_REPLY"),
            ({"buttons": [{"text": "x", "index": 3}]}, buttons(QUICK), "has no button 3"),
        ],
    )
    def test_each_is_named_with_its_place(self, part: dict[str, Any], component: dict[str, Any], named: str) -> None:
        [problem] = problems(part, component)
        assert problem.startswith("/core_schema/whatsapp/")
        assert named in problem
