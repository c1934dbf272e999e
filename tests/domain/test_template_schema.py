"""`core_schema.json` and the parser say the same of a schema's shape."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.pointers import Problems
from app.domain.template.schema import parse_core_schema

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "app/domain/template/core_schema.json").read_text("utf-8"))
SCHEMA = jsonschema_rs.Draft202012Validator(DOCUMENT)
WHOLE: dict[str, Any] = {
    "variables": [
        {"name": "code", "type": "string", "required": True, "default": None, "description": "A code."},
        {"name": "percent", "type": "number", "default": 10},
        {"name": "vip", "type": "boolean", "default": False},
        {"name": "until", "type": "date", "default": "2026-03-31T10:00:00Z"},
        {"name": "plain"},
    ],
    "blocks": {
        "subject": "S",
        "preheader": None,
        "header": "",
        "body": "B",
        "footer": "F",
        "buttons": [
            {"text": "Shop", "url": "https://x.example"},
            {"type": "phone", "text": "Call", "phone": "+351"},
            {"type": "quick_reply", "text": "Yes", "payload": "YES"},
            {"type": "quick_reply", "text": "No"},
        ],
        "media": {"type": "document", "url": "https://x.example/a.pdf", "filename": "a.pdf"},
    },
    "sms": {"body": "SMS", "transliterate": True, "short_links": False, "media": "link"},
    "email": {"mjml": "<mjml/>", "track_links": True},
    "whatsapp": {
        "name": "welcome",
        "language": "en_US",
        "header": {"type": "document", "link": "https://x.example/a.pdf", "filename": "a.pdf"},
        "body": {"first": "A", "second": "B"},
        "buttons": [{"text": "x", "index": 1}, {"type": "quick_reply", "payload": "P"}],
    },
    "i18n": {
        "pt": {
            "body": "P",
            "buttons": [],
            "media": {"type": "image", "url": "https://x.example/a.png"},
            "sms": {"media": None},
            "email": {},
            "whatsapp": {"language": "pt_PT", "body": ["A"], "header": ["H"]},
        },
        "pt_BR": {"subject": None, "whatsapp": None},
    },
}
# what a part is replaced by: every type, and the words that mean something elsewhere
WORDS = ["", "  ", "x", "X y", "url", "phone", "quick_reply", "image", "document", "number", "date", "attach", "pt_BR"]
JUNK: list[Any] = [
    *WORDS,
    None,
    True,
    0,
    7,
    99,
    1.5,
    [],
    {},
    ["x"],
    ["x", "y"],
    [None],
    {"x": "y"},
    {"type": "image"},
    {"text": "x"},
    "2026-03-31",
    "contact",
    "a" * 600,
]
REMOVE = object()


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every part of a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, item in inner for place in places(item, (*at, key)))]


def changed(document: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The document with one part replaced, or left out."""
    if not place:
        return document if new is REMOVE else new
    document = copy.deepcopy(document)
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    if new is REMOVE:
        del parent[place[-1]]
    else:
        parent[place[-1]] = new
    return document


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """The whole schema, with up to three parts replaced, left out or added to."""
    document: Any = WHOLE
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places(document)))
        kind = draw(st.sampled_from(["replace", "remove", "add"]))
        if kind == "add":
            inner = document
            for key in place:
                inner = inner[key]
            if isinstance(inner, dict):
                key = draw(st.sampled_from(["type", "url", "phone", "payload", "filename", "body", "colour"]))
                document = changed(document, (*place, key), draw(st.sampled_from(JUNK)))
            continue
        document = changed(document, place, REMOVE if kind == "remove" else draw(st.sampled_from(JUNK)))
    return document


def accepted(document: Any) -> bool:
    problems = Problems()
    parse_core_schema(document, problems)
    return not problems.errors


class TestShape:
    def test_the_document_is_a_json_schema(self) -> None:
        jsonschema_rs.meta.validate(DOCUMENT)
        assert accepted(WHOLE)

    @settings(max_examples=400, deadline=None)
    @given(document=documents())
    @example(document={"blocks": {"body": "x"}})
    @example(document={"blocks": {"body": "x"}, "i18n": {"pt": {"whatsapp": {"language": "pt"}}}})
    @example(document={"blocks": {"body": "x"}, "i18n": {"pt": None}})
    @example(document={"blocks": {"body": "x", "buttons": [None]}})
    @example(document={"blocks": {"body": "x", "buttons": [{"type": [], "text": "x"}]}})
    @example(document={"blocks": {"body": "x"}, "whatsapp": {}})
    @example(document={"blocks": {"body": "x"}, "variables": [{"name": "x", "default": 1}]})
    def test_schema_and_parser_accept_the_same(self, document: Any) -> None:
        said = [error.message for error in SCHEMA.iter_errors(document)]
        problems = Problems()
        parse_core_schema(document, problems)
        assert (not said) == (not problems.errors), (document, said, problems.errors)

    @pytest.mark.parametrize("place", places(WHOLE), ids=lambda place: "/".join(map(str, place)) or "all")
    def test_they_agree_on_every_part(self, place: tuple[Any, ...]) -> None:
        for new in [*JUNK, REMOVE]:
            document = changed(WHOLE, place, new)
            assert SCHEMA.is_valid(document) == accepted(document), (new, document)
