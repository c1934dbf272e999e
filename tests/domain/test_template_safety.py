"""What no template and no contact can bring about: reach into Python, run away, or leave a hole in a message."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.sms import segments
from app.domain.status import Channel
from app.domain.template import CompiledTemplate, compile_template
from app.domain.template.preview import warnings
from app.errors import InvalidInput

CONTEXT: dict[str, Any] = {
    "contact": {
        "first_name": "Ana",
        "last_name": "Silva",
        "phone": "+351912345678",
        "email": "ana@example.com",
        "lang": "pt",
        "timezone": "Europe/Lisbon",
        "country": "PT",
        "tags": ["vip", "new"],
        "attributes": {"city": "Faro", "nested": {"deep": "x"}, "none": None, "list": [None, True, "a"]},
    },
    "tenant": {"name": "Acme"},
    "unsubscribe_url": "https://relay.example/u/abc",
    "code": "X1",
    "vip": True,
    "price": 9.5,
}
VARIABLES = [{"name": "code"}, {"name": "vip", "type": "boolean"}, {"name": "price", "type": "number"}]


def template(**blocks: Any) -> CompiledTemplate:
    return compile_template({"variables": VARIABLES, "blocks": {"body": "Hi", **blocks}}, lang="en")


def sms(text: str, **changes: Any) -> str:
    return str(template(body=text).render(Channel.SMS, (), {**CONTEXT, **changes}).content["body"])


def shown_or_refused(text: str) -> str:
    try:
        return sms(f"[{text}]")[1:-1].strip()
    except InvalidInput as refused:
        return "refused" if "cannot be rendered" in refused.detail and "<class" not in refused.detail else str(refused)


class TestNoWayIntoPython:
    @pytest.mark.parametrize(
        "expression",
        [
            "contact.__class__",
            "contact['__class__']",
            "tenant.__init__.__globals__",
            "tenant | attr: '__class__'",
            "contact | map: '__class__' | first",
            "contact.items",
            "contact.get",
        ],
    )
    def test_fields_that_are_not_there_are_refused_at_once(self, expression: str) -> None:
        with pytest.raises(InvalidInput):
            sms("[{{ " + expression + " }}]")

    @pytest.mark.parametrize(
        "expression",
        [
            "tenant.name | map: '__class__'",
            "contact.first_name.__class__",
            "contact.first_name['__class__']['__mro__']",
            "contact.first_name.upper",
            "contact.first_name.format",
            "contact.tags.__len__",
            "contact.tags.append",
            "contact.tags | map: '__class__' | join",
            "contact.tags | map: '__doc__'",
            "contact.tags | where: '__class__' | join",
            "contact.tags | sum: '__class__' | replace: '0', ''",
            "contact.attributes.keys",
            "contact.attributes.items.first",
            "contact.attributes.nested.__class__",
            "contact.attributes['__class__']",
            "code.__class__.__mro__[1].__subclasses__",
            "price.__class__",
            "price.real.__class__",
            "vip.denominator",
            "code | size | map: '__class__'",
            "code | default: code.__class__ | replace: 'X1', ''",
        ],
    )
    def test_python_has_no_name_here(self, expression: str) -> None:
        assert shown_or_refused("{{ " + expression + " }}") in {"", "refused"}

    def test_contact_by_a_computed_name_finds_fields_alone(self) -> None:
        text = "{% assign key = '__class__' %}[{{ contact[key] }}{{ contact.attributes[key] }}{{ contact.tags[key] }}]"
        assert sms(text) == "[]"

    @pytest.mark.parametrize(
        "tag", ["include 'x'", "render 'x'", "tablerow a in contact.tags", "extends 'x'", "python"]
    )
    def test_tags_that_reach_out_do_not_exist(self, tag: str) -> None:
        with pytest.raises(InvalidInput, match="unexpected tag"):
            sms("{% " + tag + " %}")


class TestWordsForValues:
    @pytest.mark.parametrize(
        ("expression", "shown"),
        [
            ("vip", "true"),
            ("vip | append: '!'", "true!"),
            ("price", "9.5"),
            ("contact.attributes.none", ""),
            ("contact.attributes.none | append: contact.attributes.none", ""),
            ("contact.attributes.list", "truea"),
            ("contact.attributes.list | join: '-'", "-true-a"),
            ("contact.tags | upcase", "VIPNEW"),
            ("contact.attributes.missing | default: 'x'", "x"),
            ("contact.tags", "vipnew"),
        ],
    )
    def test_they_are_those_of_a_person(self, expression: str, shown: str) -> None:
        assert sms("[{{ " + expression + " }}]") == f"[{shown}]"

    @pytest.mark.parametrize(
        "expression", ["contact.attributes", "contact.attributes.nested", "contact.attributes | append: 'x'", "tags"]
    )
    def test_an_object_is_refused_rather_than_shown(self, expression: str) -> None:
        with pytest.raises(InvalidInput):
            sms("[{{ " + expression + " }}]")


class TestLimits:
    def test_a_source_has_a_size(self) -> None:
        with pytest.raises(InvalidInput, match=r"has 32,769 characters; it must not be longer than 32,768"):
            template(body="x" * 32_769)

    def test_blocks_nest_so_deep(self) -> None:
        deep = "{% if code %}" * 30 + "x" + "{% endif %}" * 30
        with pytest.raises(InvalidInput, match="Liquid"):
            template(body=deep)
        assert sms("{% if code %}" * 15 + "x" + "{% endif %}" * 15) == "x"

    @pytest.mark.parametrize(
        ("schema", "pointer"),
        [
            ({"variables": [{"name": f"v{n}"} for n in range(101)]}, "/core_schema/variables"),
            ({"i18n": {f"l{chr(97 + n // 26)}{chr(97 + n % 26)}": {} for n in range(51)}}, "/core_schema/i18n"),
            ({"whatsapp": {"name": "n", "language": "en", "body": ["x"] * 101}}, "/core_schema/whatsapp/body"),
            ({"i18n": {"pt_PT": {}, "pt-pt": {}}}, "/core_schema/i18n/pt-pt"),
        ],
    )
    def test_lists_have_a_length(self, schema: dict[str, Any], pointer: str) -> None:
        with pytest.raises(InvalidInput) as raised:
            compile_template({"blocks": {"body": "x"}, **schema})
        assert [error.pointer for error in raised.value.errors] == [pointer]

    def test_a_message_has_so_many_buttons(self) -> None:
        with pytest.raises(InvalidInput, match="There are 11; at most 10"):
            template(buttons=[{"text": "x", "url": "https://x.example"}] * 11)

    @pytest.mark.parametrize(("text", "segments"), [("a" * 1531, 11), ("ç" * 671, 11), ("😀" * 331, 11)])
    def test_an_sms_has_ten_segments(self, text: str, segments: int) -> None:
        with pytest.raises(InvalidInput, match=f"takes {segments} segments .* at most 10") as raised:
            sms("{{ code }}", code=text)
        assert raised.value.errors[0].pointer == "/core_schema/blocks/body"

    @pytest.mark.parametrize("text", ["a" * 1530, "ç" * 670, "😀" * 330])
    def test_ten_segments_are_allowed(self, text: str) -> None:
        assert segments(sms("{{ code }}", code=text)).segments == 10

    def test_an_email_that_gmail_cuts_off_is_named(self) -> None:
        made = template(subject="S", body="{{ code }}")
        rendered = made.render(Channel.EMAIL, (), {**CONTEXT, "code": "x" * 110_000})
        said = warnings(made, Channel.EMAIL, (), rendered)
        assert len(said) == 1
        assert "Gmail cuts an e-mail off after about 102,000" in said[0]

    def test_an_email_of_more_than_two_megabytes_is_refused_with_its_size(self) -> None:
        rows = "{% for a in (1..900) %}<p>" + "{{ contact.last_name }}" * 3 + "</p>{% endfor %}"
        mjml = f"<mjml><mj-body><mj-raw>{rows}</mj-raw></mj-body></mjml>"
        core = {"blocks": {"body": "Hi"}, "email": {"mjml": mjml}}
        contact = {**CONTEXT["contact"], "last_name": "x" * 1_000}
        with pytest.raises(InvalidInput, match=r"has 2,70\d,\d{3} bytes; at most 2,000,000") as raised:
            compile_template(core).render(Channel.EMAIL, (), {**CONTEXT, "contact": contact})
        assert raised.value.errors[0].pointer == "/core_schema/email/mjml"

    def test_a_layout_that_runs_away_is_stopped(self) -> None:
        rows = "{% for a in (1..900) %}{% for b in (1..900) %}x{% endfor %}{% endfor %}"
        core = {"blocks": {"body": "Hi"}, "email": {"mjml": f"<mjml><mj-body><mj-raw>{rows}</mj-raw></mj-body></mjml>"}}
        with pytest.raises(InvalidInput, match="loop iteration limit"):
            compile_template(core).render(Channel.EMAIL, (), CONTEXT)


EVERYTHING = compile_template(
    {
        "variables": [*VARIABLES, {"name": "must", "required": True}, {"name": "maybe", "default": "perhaps"}],
        "blocks": {
            "subject": "{{ must }} {{ contact.first_name | default: 'you' }}",
            "preheader": "{{ contact.attributes.city }}",
            "header": "{{ contact.tags | first }}",
            "body": "Hi {{ contact.first_name }}, {{ code }} {{ price }} {{ vip }} {{ contact.tags | join: ', ' }}"
            " {{ maybe }}",
            "footer": "{% for tag in contact.tags %}{{ tag }}{% endfor %}",
            "buttons": [
                {"text": "{{ contact.last_name | default: 'Go' }}", "url": "https://x.example/{{ code | url_encode }}"},
                {"type": "quick_reply", "text": "Yes {{ contact.country }}"},
            ],
        },
        "i18n": {
            "pt": {"whatsapp": {"name": "n", "language": "pt", "body": ["{{ contact.first_name }}", "{{ code }}"]}},
            "fr": {
                "email": {
                    "mjml": "<mjml><mj-body><mj-section><mj-column><mj-text>{{ blocks.body }} {{ contact.first_name }}"
                    "{% for tag in contact.tags %}{{ tag }}{% endfor %}</mj-text>"
                    "<mj-button href='{{ blocks.buttons[0].url }}'>{{ code }}</mj-button></mj-column></mj-section>"
                    "</mj-body></mjml>"
                },
                "sms": {"body": "{{ must }} {{ contact.email }}", "transliterate": True},
            },
        },
    }
)
HOLES = ("None", "True", "False", "nil", "null", "undefined")
# without what would look like a hole itself
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}%'[]<"), max_size=8).filter(
    lambda text: not any(mark in text for mark in HOLES)
)
ANY = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS
NESTED = ANY | st.lists(ANY, max_size=3) | st.dictionaries(st.sampled_from(["city", "x"]), ANY, max_size=2)
CONTACTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("first_name", "last_name", "email", "country", "tags", "attributes"), NESTED)
)
CONTEXTS = st.fixed_dictionaries(
    {"contact": CONTACTS, "tenant": st.just({"name": "Acme"}), "must": st.just("M") | NESTED},
    optional=dict.fromkeys(("code", "price", "vip", "maybe"), NESTED),
)


class TestNoHoles:
    @settings(max_examples=150, deadline=None)
    @given(context=CONTEXTS, channel=st.sampled_from(list(Channel)), lang=st.sampled_from(["en", "pt", "fr"]))
    def test_a_message_is_whole_or_refused(self, context: dict[str, Any], channel: Channel, lang: str) -> None:
        try:
            content = EVERYTHING.render(channel, (lang,), context).content
        except InvalidInput:
            return
        for text in texts(content):
            assert text.strip()
            marks = HOLES[:3] if text is content.get("html") else ("{{", "{%", "}}", "['", "{'", *HOLES)
            assert not any(mark in text for mark in marks)
            assert "relayslot" not in text
            assert "__slot" not in text
        json.dumps(content)


def texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else []
    return [text for item in inner for text in texts(item)]
