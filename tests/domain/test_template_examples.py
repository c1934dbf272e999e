import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from app.domain.status import Channel
from app.domain.template import CompiledTemplate, compile_template
from app.domain.template.active import why_html
from app.domain.template.preview import warnings

ROOT = Path(__file__).parents[2]
EXAMPLES = [*sorted((ROOT / "examples/templates").glob("*.json")), ROOT / "examples/tour/template.json"]
SCHEMA = jsonschema_rs.Draft202012Validator(
    json.loads((ROOT / "app/domain/template/core_schema.json").read_text("utf-8"))
)
OF_TYPE = {"string": "https://shop.example.com/x.png", "number": 3, "boolean": True, "date": "2026-03-31"}


def example(path: Path) -> tuple[dict[str, Any], CompiledTemplate]:
    template = json.loads(path.read_text("utf-8"))
    return template, compile_template(template["core_schema"], lang=template.get("lang", "en"))


def context_of(template: CompiledTemplate) -> dict[str, Any]:
    return {
        "contact": {
            "first_name": "Ana",
            "last_name": "Silva",
            "phone": "+351912345678",
            "email": "ana@example.com",
            "lang": "pt",
            "timezone": "Europe/Lisbon",
            "country": "PT",
            "tags": ["vip"],
            "attributes": {"city": "Faro"},
        },
        "tenant": {"name": "Acme"},
        "unsubscribe_url": "https://relay.example/u/abc",
        **{variable.name: OF_TYPE[variable.type] for variable in template.variables},
    }


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
class TestExamples:
    def test_it_has_the_shape_of_the_json_schema(self, path: Path) -> None:
        core_schema = json.loads(path.read_text("utf-8"))["core_schema"]
        assert [error.message for error in SCHEMA.iter_errors(core_schema)] == []

    def test_every_channel_shows_it_in_every_language(self, path: Path) -> None:
        _, template = example(path)
        context = context_of(template)
        for lang in template.languages:
            for channel in Channel:
                rendered = template.render(channel, (lang,), context)
                assert rendered.lang == lang
                written = json.dumps(rendered.content, ensure_ascii=False)
                assert "{{" not in written
                assert "{%" not in written
                assert "None" not in written

    def test_no_language_warns_of_words_that_it_lacks(self, path: Path) -> None:
        _, template = example(path)
        context = context_of(template)
        for lang in template.languages:
            for channel in Channel:
                rendered = template.render(channel, (lang,), context)
                said = warnings(template, channel, (lang,), rendered)
                assert [warning for warning in said if "default language" in warning or "no subject" in warning] == []

    def test_its_html_is_small_and_does_nothing_by_itself(self, path: Path) -> None:
        _, template = example(path)
        for lang in template.languages:
            html = template.render(Channel.EMAIL, (lang,), context_of(template)).content["html"]
            assert why_html(html) is None
            assert len(html.encode()) < 102_000
            assert html.count("https://relay.example/u/abc") == 1
