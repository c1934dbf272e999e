"""The guide is true: its templates compile, and the words of errors and warnings are those of the code."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from app.domain.status import Channel
from app.domain.template import compile_template
from app.schemas.core_schema import CORE_SCHEMA
from tests.domain.test_template_examples import context_of

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/templates.md").read_text("utf-8")
FILES = [*sorted((ROOT / "app/domain/template").glob("*.py")), ROOT / "app/domain/pointers.py"]
CODE = re.sub(r"[\"']\s+f?[\"']", "", "".join(path.read_text("utf-8") for path in FILES))  # sentences of two lines
FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \|$", re.MULTILINE)


def fenced(lang: str) -> list[str]:
    return [text for found, text in FENCED.findall(GUIDE) if found == lang]


def quoted(heading: str) -> list[str]:
    """What the tables below a heading quote, cut at what differs from case to case."""
    section = GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [row for row in ROW.findall(section) if row not in {"detail", "warning", "---"}]
    pieces = [
        piece for row in rows for piece in re.split(r" / |…|`|<…>|'…'|\.\.\.|, and the like.*| \(line|: line", row)
    ]
    return [piece.strip(" ;:,()'<>") for piece in pieces if len(piece.strip(" ;:,()'<>")) > 5]


class TestGuide:
    def test_its_template_compiles_and_has_the_shape_of_the_schema(self) -> None:
        template: dict[str, Any] = json.loads(fenced("json")[0])
        assert jsonschema_rs.Draft202012Validator(CORE_SCHEMA).is_valid(template["core_schema"])
        compiled = compile_template(template["core_schema"], lang=template["lang"])
        for channel in Channel:
            assert compiled.render(channel, ("pt",), context_of(compiled)).lang == "pt"

    def test_its_layout_compiles(self) -> None:
        (mjml,) = fenced("xml")
        core = {"variables": [{"name": "code"}], "blocks": {"body": "Hi"}, "email": {"mjml": mjml}}
        compiled = compile_template(core, lang="en")
        assert "For our best customers" in compiled.render(Channel.EMAIL, (), context_of(compiled)).content["html"]

    @pytest.mark.parametrize("words", [*quoted("Errors"), *quoted("Preview")])
    def test_what_it_quotes_is_said_by_the_code(self, words: str) -> None:
        assert words.lower() in CODE.lower()
