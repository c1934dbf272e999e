"""Whole messages, as they were looked at once. `GOLDEN=write` writes them anew; look at the difference then."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from app.domain.status import Channel
from app.domain.template import CompiledTemplate, compile_template
from app.domain.template.preview import segments_shown, warnings

GOLDEN = Path(__file__).parent / "golden"
LAYOUT = """<mjml>
  <mj-body>
    <mj-section>
      <mj-column>
        <mj-text>{{ blocks.header }}</mj-text>
        <mj-text>{{ blocks.body }}</mj-text>
        {% for button in blocks.buttons %}
        <mj-button href="{{ button.url }}">{{ button.text }}</mj-button>
        {% endfor %}
        <mj-text>{{ contact.first_name }} &middot; {{ blocks.footer }}</mj-text>
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>"""
LINKS = [
    {"type": "url", "text": "Shop", "url": "https://shop.example/?c={{ code | url_encode }}&l=1"},
    {"type": "phone", "text": "Call", "phone": "+351 210 000 000"},
]
TEMPLATES: dict[str, dict[str, Any]] = {
    "plain": {
        "variables": [{"name": "code"}],
        "blocks": {
            "subject": "For {{ contact.first_name }}: {{ code }}",
            "preheader": "Inside",
            "header": "Spring",
            # the 67th code unit of the first part would be half of the emoji
            "body": "Hi {{ contact.first_name }},\r\n"
            + "ç" * 45
            + " 😀😀 end of the first part, and so on until the next",
            "footer": "{{ tenant.name }}\u200b, Lisbon",
            "buttons": LINKS,
        },
        "i18n": {
            "pt": {"body": "Olá {{ contact.first_name }}, só até amanhã…", "sms": {"transliterate": True}},
            "ar": {
                "subject": "عرض خاص لك يا {{ contact.first_name }}",
                "header": "الربيع",
                "body": "مرحبا {{ contact.first_name }}،\nخصم 20% برمز {{ code }} اليوم فقط.",
                "footer": "{{ tenant.name }}",
                "buttons": [{"text": "تسوق", "url": "https://shop.example/ar?c={{ code | url_encode }}"}],
            },
            "he": {
                "body": "שלום {{ contact.first_name }}, הנחה של 20% עם {{ code }}",
                "header": "אביב",
                "buttons": [
                    {"type": "quick_reply", "text": "כן", "payload": "YES"},
                    {"type": "quick_reply", "text": "לא", "payload": "NO"},
                ],
            },
            "zh": {
                "body": "你好 {{ contact.first_name }} 𠮷野家 {{ code }}",
                "media": {"type": "image", "url": "https://x.example/a.png"},
            },
        },
    },
    "layout": {
        "variables": [{"name": "code"}],
        "blocks": {
            "subject": "For {{ contact.first_name }}",
            "header": "Spring",
            "body": "Take {{ code }}\r\n& <smile> 👩‍👩‍👧",
            "footer": "{{ tenant.name }}",
            "buttons": LINKS,
            "media": {
                "type": "document",
                "url": "https://x.example/{{ code | url_encode }}.pdf",
                "filename": "Offer.pdf",
            },
        },
        "email": {"mjml": LAYOUT},
        "whatsapp": {
            "name": "offer",
            "language": "en_US",
            "header": {"type": "image", "link": "https://x.example/a.png"},
            "body": ["{{ contact.first_name }}", "{{ code }}"],
            "buttons": [{"type": "url", "index": 0, "text": "{{ code | url_encode }}"}],
        },
        "i18n": {
            "fa": {
                "header": "بهار",
                "body": "سلام {{ contact.first_name }}\u200cجان، {{ code }}",
                "whatsapp": {"language": "fa"},
            },
            "pt_BR": {"body": "Oi {{ contact.first_name }}", "sms": {"body": "Só hoje: {{ code }}", "media": "none"}},
        },
    },
}
CONTEXT: dict[str, Any] = {
    "contact": {"first_name": "Ana <O'Neil> & \u200bZoë", "tags": [], "attributes": {}},
    "tenant": {"name": "Acme\r\nLda"},
    "unsubscribe_url": "https://relay.example/u/abc?x=1&y=2",
    "code": "A B\r\n&1",
}
CASES = [(name, lang) for name, core in TEMPLATES.items() for lang in ("en", *core["i18n"])]


def shown(template: CompiledTemplate, lang: str) -> tuple[dict[str, Any], str]:
    """Every channel as JSON, and the HTML by itself."""
    channels: dict[str, Any] = {}
    html = ""
    for channel in Channel:
        rendered = template.render(channel, (lang,), CONTEXT)
        content = dict(rendered.content)
        html = content.pop("html", html)
        channels[channel.value] = {"type": rendered.type.value, "lang": rendered.lang, "content": content}
        channels[channel.value]["warnings"] = warnings(template, channel, (lang,), rendered)
        if channel is Channel.SMS:
            channels[channel.value]["segments"] = asdict(segments_shown(content["body"]))
    return json.loads(json.dumps(channels)), html


def expect(path: Path, text: str) -> None:
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, "utf-8", newline="")
    with path.open(encoding="utf-8", newline="") as file:
        assert text == file.read()


@pytest.mark.parametrize(("name", "lang"), CASES)
def test_every_channel_is_as_it_was(name: str, lang: str) -> None:
    channels, html = shown(compile_template(TEMPLATES[name], lang="en"), lang)
    expect(GOLDEN / f"{name}.{lang}.json", json.dumps(channels, ensure_ascii=False, indent=2) + "\n")
    expect(GOLDEN / f"{name}.{lang}.html", html + "\n")


def test_no_file_is_left_over() -> None:
    wanted = {f"{name}.{lang}.{kind}" for name, lang in CASES for kind in ("json", "html")}
    assert {path.name for path in GOLDEN.iterdir()} == wanted
