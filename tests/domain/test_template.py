import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from liquid.exceptions import LiquidError

from app.domain.status import Channel, MessageType
from app.domain.template import CompiledTemplate, MissingVariable, compile_stored, compile_template
from app.domain.template.liquid import SANDBOX, _filled, _plain
from app.errors import InvalidInput

CORE: dict[str, Any] = {
    "variables": [
        {"name": "code", "type": "string", "required": True, "default": None},
        {"name": "percent", "type": "number", "default": 10},
        {"name": "until", "type": "date"},
    ],
    "blocks": {
        "subject": "{{ percent }} % for {{ contact.first_name }}",
        "preheader": "Inside: your code",
        "header": "Spring",
        "body": "Hi {{ contact.first_name }},\nuse {{ code }}.",
        "footer": "{{ tenant.name }}, Lisbon",
        "buttons": [{"type": "url", "text": "Shop", "url": "https://shop.example/?c={{ code }}"}],
    },
    "i18n": {
        "pt": {"body": "Olá {{ contact.first_name }}: {{ code }}", "whatsapp": {"language": "pt_PT"}},
        "pt_BR": {"body": "Oi {{ contact.first_name }}: {{ code }}"},
    },
    "whatsapp": {"name": "welcome", "language": "en_US", "body": ["{{ contact.first_name }}", "{{ code }}"]},
}
CONTEXT: dict[str, Any] = {
    "contact": {"first_name": "Ana", "last_name": "", "phone": None, "attributes": {"city": "Faro"}, "tags": ["vip"]},
    "tenant": {"name": "Acme"},
    "unsubscribe_url": "https://relay.example/u/abc",
    "code": "X1",
}


def core(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(CORE), **changes}


def body(text: str, **more: Any) -> CompiledTemplate:
    return compile_template({"blocks": {"body": text}, **more})


def mistakes(schema: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as raised:
        compile_template(schema)
    return {error.pointer.removeprefix("/core_schema"): error.detail for error in raised.value.errors}


class TestCompileTemplate:
    def test_only_a_body_is_required(self) -> None:
        assert body("Hello").render(Channel.SMS, (), {}).content == {"body": "Hello"}

    def test_knows_its_languages(self) -> None:
        assert compile_template(CORE, lang="en").languages == ("en", "pt", "pt_BR")

    @pytest.mark.parametrize(
        ("schema", "pointers"),
        [
            ("text", {""}),
            ({}, {"/blocks/body"}),
            ({"blocks": {"body": "  "}}, {"/blocks/body"}),
            ({"blocks": {"body": 3}}, {"/blocks/body"}),
            ({"blocks": []}, {"/blocks", "/blocks/body"}),
            (core(extra=1), {"/extra"}),
            (core(blocks={"body": "x", "colour": "red", "a/b": 1}), {"/blocks/colour", "/blocks/a~1b"}),
            (core(blocks={"body": "x", "subject": 1}), {"/blocks/subject"}),
            (core(blocks={"body": "x", "buttons": {}}), {"/blocks/buttons"}),
            (core(blocks={"body": "x", "buttons": [{"type": "flow"}]}), {"/blocks/buttons/0/type"}),
            (core(blocks={"body": "x", "buttons": [{"text": "Go"}]}), {"/blocks/buttons/0/url"}),
            (core(i18n={"portuguese!": {"body": "x"}}), {"/i18n/portuguese!"}),
            (core(i18n={"pt": {"body": ""}}), {"/i18n/pt/body"}),
            (core(i18n={"pt": {"bodi": "x"}}), {"/i18n/pt/bodi"}),
            (core(variables=[{"type": "string"}]), {"/variables/0/name", "/blocks/body", "/blocks/subject"}),
            (
                core(whatsapp={"name": "Big Name", "body": "x"}),
                {f"/whatsapp/{key}" for key in ("name", "language", "body")},
            ),
            (core(whatsapp={"name": "n", "language": "en", "header": {"type": "gif"}}), {"/whatsapp/header/type"}),
            (
                core(whatsapp={"name": "n", "language": "en", "buttons": [{"type": "otp"}]}),
                {"/whatsapp/buttons/0/type"},
            ),
        ],
    )
    def test_names_each_bad_field(self, schema: Any, pointers: set[str]) -> None:
        assert pointers <= set(mistakes(schema))

    @pytest.mark.parametrize(
        ("variable", "key"),
        [
            ({"name": "contact"}, "name"),
            ({"name": "a b"}, "name"),
            ({"name": "x", "type": "text"}, "type"),
            ({"name": "x", "type": "number", "default": "ten"}, "default"),
            ({"name": "x", "type": "date", "default": "tomorrow"}, "default"),
            ({"name": "x", "required": "yes"}, "required"),
            ({"name": "x", "kind": "string"}, "kind"),
        ],
    )
    def test_names_each_bad_variable(self, variable: dict[str, Any], key: str) -> None:
        assert list(mistakes({"variables": [variable], "blocks": {"body": "x"}})) == [f"/variables/0/{key}"]

    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("Hi {{ contact.first_name", "end of file"),
            ("{% if code %}x", "endif"),
            ("{% include 'secret' %}", "include"),
            ("{% render 'secret' %}", "render"),
            ("{{ contact.first_name | shout }}", "shout"),
            ("{{ cod }}", "'cod' is not declared"),
            ("{{ now }}", "'now' is not declared"),
            ("{{ contact.firstname }}", "no 'firstname'"),
            ("{{ contact }}", "name a field of contact"),
            ("{{ tenant.id }}", "no 'id'"),
            ("{{ " + "9" * 6000 + " }}", "limit"),
            ("x" * 40_000, "longer than"),
        ],
    )
    def test_names_each_liquid_mistake(self, text: str, word: str) -> None:
        assert word in mistakes({"blocks": {"body": text}})["/blocks/body"]

    def test_reports_all_mistakes_at_once(self) -> None:
        schema = {"blocks": {"body": "{{ a }}", "subject": "{{ b }}"}, "i18n": {"pt": {"footer": "{{ c }}"}}}
        assert set(mistakes(schema)) == {"/blocks/body", "/blocks/subject", "/i18n/pt/footer"}


class TestSandbox:
    @pytest.mark.parametrize(
        "text",
        [
            "{% for i in (1..100000000) %}x{% endfor %}",
            "{% for a in (1..900) %}{% for b in (1..900) %}x{% endfor %}{% endfor %}",
            "{{ (1..100000000) | join }}",
            "{{ (1..999999999999999999999) | size }}",
            "{% assign a = 'xxxxxxxx' %}{% for i in (1..100) %}{% assign a = a | append: a %}{% endfor %}{{ a }}",
            "{% assign n = 9 %}{% for i in (1..900) %}{% assign n = n | times: n %}{% endfor %}{{ n }}",
            "{% for i in (1..1000) %}" + "x" * 1000 + "{% endfor %}",
            "{{ '99999999999999999999' | date: '%Y' }}",
            "{{ '1e400' | times: 1 | floor }}",
            "{{ 1 | divided_by: 0 }}",
        ],
    )
    def test_what_would_run_away_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput, match="cannot be rendered") as raised:
            body(text).render(Channel.SMS, (), CONTEXT)
        assert raised.value.errors[0].pointer == "/core_schema/blocks/body"

    def test_python_is_out_of_reach(self) -> None:
        text = "-{{ contact.attributes.__class__ }}{{ contact.tags.__len__ }}{{ contact.first_name.upper }}-"
        assert body(text).render(Channel.SMS, (), CONTEXT).content == {"body": "--"}


NAMES = st.sampled_from(["contact", "first_name", "size", "first", "last", "x", "empty", "true", "nil"])
VALUES = st.recursive(
    st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.lists(st.text(max_size=2), max_size=2),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
PIECES = st.text("a {}%-\n", max_size=4) | st.lists(NAMES, min_size=1, max_size=3).map(
    lambda names: "{{ " + ".".join(names) + " }}"
)


class TestPlainNames:
    @settings(suppress_health_check=[HealthCheck.filter_too_much])
    @given(source=st.lists(PIECES, max_size=4).map("".join), context=st.dictionaries(NAMES, VALUES, max_size=4))
    def test_they_are_filled_in_as_the_interpreter_does(self, source: str, context: dict[str, Any]) -> None:
        try:
            template = SANDBOX.from_string(source)
            expected = template.render(context)
        except LiquidError:
            assume(False)
        plain = _plain(source)
        filled = _filled(plain, context) if plain is not None else None
        assume(filled is not None)
        assert filled == expected


class TestRender:
    @pytest.mark.parametrize(
        ("lang", "found", "greeting"),
        [
            ("pt_PT", "pt", "Olá"),
            ("pt-BR", "pt_BR", "Oi"),
            ("PT", "pt", "Olá"),
            ("en_GB", "en", "Hi"),
            ("", "en", "Hi"),
            ("fr", "en", "Hi"),
        ],
    )
    def test_falls_back_from_region_to_language_to_default(self, lang: str, found: str, greeting: str) -> None:
        rendered = compile_template(CORE, lang="en").render(Channel.SMS, (lang,), CONTEXT)
        assert rendered.lang == found
        assert rendered.content["body"].startswith(greeting)

    @pytest.mark.parametrize(
        ("languages", "found"),
        [
            (("fr", "pt_PT"), "pt"),  # the tenant's, when the template has not the contact's
            (("fr", "de"), "en"),
            (("en_US", "pt"), "en"),  # the default blocks are in the contact's language
            (("", "pt_BR"), "pt_BR"),
            (("pt_BR", "en"), "pt_BR"),
            ((), "en"),
        ],
    )
    def test_the_first_language_that_is_there_wins(self, languages: tuple[str, ...], found: str) -> None:
        assert compile_template(CORE, lang="en").render(Channel.SMS, languages, CONTEXT).lang == found

    def test_a_region_of_the_default_language_reads_the_default_blocks(self) -> None:
        template = compile_template(CORE, lang="en_GB")
        assert template.render(Channel.SMS, ("en_US", "pt"), CONTEXT).lang == "en_GB"

    def test_a_missing_required_variable_is_named(self) -> None:
        for channel in Channel:
            with pytest.raises(MissingVariable) as raised:
                compile_template(CORE).render(channel, (), {**CONTEXT, "code": " "})
            assert raised.value.name == "code"
            assert raised.value.errors[0].pointer == "/variables/code"

    def test_defaults_stand_in_and_values_win(self) -> None:
        template = compile_template(CORE)
        assert template.render(Channel.EMAIL, (), CONTEXT).content["subject"] == "10 % for Ana"
        assert template.render(Channel.EMAIL, (), {**CONTEXT, "percent": 25}).content["subject"] == "25 % for Ana"

    def test_empty_contact_fields_are_empty_text(self) -> None:
        text = "[{{ contact.last_name }}{{ contact.phone }}{{ contact.attributes.nothing }}{{ contact.country }}]"
        assert body(text).render(Channel.SMS, (), CONTEXT).content == {"body": "[]"}

    def test_liquid_has_logic_and_attributes(self) -> None:
        text = (
            "{% if contact.tags contains 'vip' %}VIP{% else %}you{% endif %} in {{ contact.attributes.city | upcase }}"
        )
        assert body(text).render(Channel.SMS, (), CONTEXT).content == {"body": "VIP in FARO"}

    def test_a_body_that_renders_to_nothing_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="renders to nothing"):
            body("{{ contact.last_name }}").render(Channel.SMS, (), CONTEXT)

    def test_values_are_not_rendered_again(self) -> None:
        rendered = body("{{ contact.first_name }}").render(Channel.SMS, (), {"contact": {"first_name": "{{ code }}"}})
        assert rendered.content == {"body": "{{ code }}"}


class TestRenderSms:
    def test_is_the_body_with_the_links_of_the_buttons(self) -> None:
        rendered = compile_template(CORE).render(Channel.SMS, (), CONTEXT)
        assert (rendered.type, rendered.template_name) == (MessageType.TEXT, "")
        assert rendered.content == {"body": "Hi Ana,\nuse X1.\nShop: https://shop.example/?c=X1"}


class TestRenderWhatsapp:
    def test_sends_the_approved_template_with_its_parameters(self) -> None:
        rendered = compile_template(CORE).render(Channel.WHATSAPP, ("en",), CONTEXT)
        assert (rendered.type, rendered.template_name) == (MessageType.TEMPLATE, "welcome")
        parameters = [{"type": "text", "text": "Ana"}, {"type": "text", "text": "X1"}]
        assert rendered.content == {
            "name": "welcome",
            "language": "en_US",
            "components": [{"type": "body", "parameters": parameters}],
        }

    def test_a_language_may_have_its_own_approved_version(self) -> None:
        template = compile_template(CORE)
        assert template.render(Channel.WHATSAPP, ("pt_PT",), CONTEXT).content["language"] == "pt_PT"
        assert template.render(Channel.WHATSAPP, ("pt_BR",), CONTEXT).content["language"] == "en_US"

    def test_header_and_buttons_become_components(self) -> None:
        whatsapp = {
            "name": "order",
            "language": "en",
            "header": {"type": "document", "link": "https://x.example/{{ code }}.pdf", "filename": "order.pdf"},
            "body": {"first": "{{ contact.first_name }}"},
            "buttons": [
                {"type": "url", "index": 0, "text": "{{ code }}"},
                {"type": "quick_reply", "index": 1, "payload": "TRACK:{{ code }}"},
            ],
        }
        rendered = compile_template(core(whatsapp=whatsapp, i18n={})).render(Channel.WHATSAPP, (), CONTEXT)
        document = {"link": "https://x.example/X1.pdf", "filename": "order.pdf"}
        assert rendered.content["components"] == [
            {"type": "header", "parameters": [{"type": "document", "document": document}]},
            {"type": "body", "parameters": [{"type": "text", "text": "Ana", "parameter_name": "first"}]},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "X1"}]},
            {
                "type": "button",
                "sub_type": "quick_reply",
                "index": "1",
                "parameters": [{"type": "payload", "payload": "TRACK:X1"}],
            },
        ]

    def test_a_text_header_has_one_parameter(self) -> None:
        whatsapp = {"name": "n", "language": "en", "header": ["{{ code }}"]}
        rendered = compile_template(core(whatsapp=whatsapp, i18n={})).render(Channel.WHATSAPP, (), CONTEXT)
        parameter = {"type": "text", "text": "X1"}
        assert rendered.content["components"] == [{"type": "header", "parameters": [parameter]}]

    def test_an_empty_parameter_is_named(self) -> None:
        with pytest.raises(MissingVariable) as raised:
            compile_template(CORE).render(Channel.WHATSAPP, (), {**CONTEXT, "contact": {"first_name": ""}})
        assert raised.value.name == "contact.first_name"
        assert raised.value.errors[0].pointer == "/contact/first_name"

    def test_a_parameter_is_one_line(self) -> None:
        context = {**CONTEXT, "code": "X1\n\tand     more"}
        components = compile_template(CORE).render(Channel.WHATSAPP, (), context).content["components"]
        assert components[0]["parameters"][1]["text"] == "X1 and more"

    def test_without_an_approved_template_one_link_is_a_button(self) -> None:
        rendered = session({}).render(Channel.WHATSAPP, (), CONTEXT)
        assert (rendered.type, rendered.template_name) == (MessageType.TEXT, "")
        assert rendered.content == {
            "header": "Spring",
            "body": "Hi Ana,\nuse X1.",
            "cta_url": {"title": "Shop", "url": "https://shop.example/?c=X1"},
            "footer": "Acme, Lisbon",
        }
        assert not session({}).has_whatsapp_template(("en",))

    def test_up_to_three_replies_are_buttons_and_links_stay_in_the_text(self) -> None:
        buttons = [
            {"type": "quick_reply", "text": "Yes, {{ contact.first_name }}"},
            {"type": "url", "text": "Shop", "url": "https://shop.example"},
            {"type": "quick_reply", "text": "No", "payload": "NO:{{ code }}"},
        ]
        assert session({"buttons": buttons}).render(Channel.WHATSAPP, (), CONTEXT).content == {
            "header": "Spring",
            "body": "Hi Ana,\nuse X1.\n\nShop: https://shop.example",
            "buttons": [{"id": "Yes, Ana", "title": "Yes, Ana"}, {"id": "NO:X1", "title": "No"}],
            "footer": "Acme, Lisbon",
        }

    @pytest.mark.parametrize(
        "buttons",
        [
            [{"type": "quick_reply", "text": str(n)} for n in range(4)],
            [{"type": "quick_reply", "text": "longer than WhatsApp allows"}],
            [{"type": "quick_reply", "text": "Yes"}, {"type": "quick_reply", "text": "Yes"}],
            [],
        ],
    )
    def test_buttons_that_do_not_fit_leave_text(self, buttons: list[Any]) -> None:
        content = session({"buttons": buttons}).render(Channel.WHATSAPP, (), CONTEXT).content
        assert content == {"body": "Spring\n\nHi Ana,\nuse X1.\n\nAcme, Lisbon"}

    def test_two_links_are_text(self) -> None:
        buttons = [
            {"text": "A", "url": "https://a.example"},
            {"type": "phone", "text": "Call", "phone": "+351 210 000 000"},
        ]
        content = session({"buttons": buttons}).render(Channel.WHATSAPP, (), CONTEXT).content
        links = "A: https://a.example\nCall: +351 210 000 000"
        assert content == {"body": f"Spring\n\nHi Ana,\nuse X1.\n\n{links}\n\nAcme, Lisbon"}

    def test_a_header_that_is_too_long_for_a_frame_is_in_the_text(self) -> None:
        content = session({"header": "long " * 20}).render(Channel.WHATSAPP, (), CONTEXT).content
        assert set(content) == {"body", "cta_url"}
        assert content["body"].startswith("long long")
        assert content["body"].endswith("Acme, Lisbon")

    def test_media_carries_the_text_as_its_caption(self) -> None:
        media = {"type": "document", "url": "https://x.example/{{ code }}.pdf", "filename": "Order {{ code }}.pdf"}
        rendered = session({"media": media}).render(Channel.WHATSAPP, (), CONTEXT)
        assert rendered.type is MessageType.MEDIA
        assert rendered.content == {
            "kind": "document",
            "link": "https://x.example/X1.pdf",
            "filename": "Order X1.pdf",
            "caption": "Spring\n\nHi Ana,\nuse X1.\n\nShop: https://shop.example/?c=X1\n\nAcme, Lisbon",
        }

    def test_more_text_than_a_caption_holds_comes_with_the_address(self) -> None:
        media = {"type": "image", "url": "https://x.example/a.png"}
        rendered = session({"media": media, "body": "long " * 300}).render(Channel.WHATSAPP, (), CONTEXT)
        assert rendered.type is MessageType.TEXT
        assert rendered.content["body"].endswith("\n\nhttps://x.example/a.png")


def session(blocks: dict[str, Any]) -> CompiledTemplate:
    """CORE without an approved template, with these blocks changed."""
    schema = core(i18n={}, blocks={**CORE["blocks"], **blocks})
    del schema["whatsapp"]
    return compile_template(schema)


class TestRenderEmail:
    def test_has_subject_text_and_html(self) -> None:
        content = compile_template(CORE, lang="en").render(Channel.EMAIL, ("en",), CONTEXT).content
        assert set(content) == {"subject", "text", "html"}
        assert content["text"] == (
            "Spring\n\nHi Ana,\nuse X1.\n\nShop: https://shop.example/?c=X1\n\nAcme, Lisbon\n\n"
            "Unsubscribe: https://relay.example/u/abc"
        )
        html = content["html"]
        assert html.startswith("<!doctype html>")
        for part in (
            'lang="en"',
            "Inside: your code",
            "Spring",
            "Hi Ana,<br/>use X1.",
            'href="https://shop.example/?c=X1"',
            "Acme, Lisbon",
            'href="https://relay.example/u/abc"',
        ):
            assert part in html
        assert "__slot_" not in html
        assert "mj-" not in html.partition("<body")[2].replace("mj-outlook-group-fix", "").replace("mj-column-per", "")

    def test_values_are_escaped_in_html_only(self) -> None:
        context = {**CONTEXT, "contact": {"first_name": '<img src=x onerror="alert(1)">'}, "code": "&quot"}
        content = compile_template(core(i18n={})).render(Channel.EMAIL, (), context).content
        assert "<img src=x" not in content["html"]
        assert 'href="https://shop.example/?c=&amp;quot"' in content["html"]
        assert '<img src=x onerror="alert(1)">' in content["text"]

    def test_the_visible_unsubscribe_link_speaks_the_language(self) -> None:
        template = compile_template(CORE)
        assert "Cancelar subscrição" in template.render(Channel.EMAIL, ("pt",), CONTEXT).content["html"]
        without = template.render(Channel.EMAIL, ("pt",), {**CONTEXT, "unsubscribe_url": ""}).content
        assert "Cancelar subscrição" not in without["html"] + without["text"]

    def test_a_subject_is_one_line(self) -> None:
        context = {**CONTEXT, "contact": {"first_name": "Ana\r\nBcc: all@example.com"}}
        subject = compile_template(CORE).render(Channel.EMAIL, (), context).content["subject"]
        assert subject == "10 % for Ana Bcc: all@example.com"

    def test_without_a_subject_the_first_words_are_it(self) -> None:
        assert body("Hello there\nall").render(Channel.EMAIL, (), {}).content["subject"] == "Hello there"
        assert len(body("word " * 50).render(Channel.EMAIL, (), {}).content["subject"]) <= 78

    @pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://x.example", "shop.example", "https://a b"])
    def test_a_button_leads_only_to_the_web(self, url: str) -> None:
        schema = {"blocks": {"body": "x", "buttons": [{"type": "url", "text": "Go", "url": "{{ link }}"}]}}
        template = compile_template({**schema, "variables": [{"name": "link"}]})
        with pytest.raises(InvalidInput, match="is not an http"):
            template.render(Channel.EMAIL, (), {"link": url})


class TestProblems:
    def test_names_what_is_missing_and_what_has_the_wrong_type(self) -> None:
        found = compile_template(CORE).problems({"percent": "ten", "until": "soon", "other": 1})
        assert [error.pointer for error in found] == ["/variables/code", "/variables/percent", "/variables/until"]

    def test_nothing_is_wrong_with_good_values(self) -> None:
        assert compile_template(CORE).problems({"code": "X", "percent": 2.5, "until": "2026-03-31"}) == []

    def test_true_is_no_number(self) -> None:
        assert compile_template(CORE).problems({"code": "X", "percent": True}) != []


class TestHasWhatsappTemplate:
    def test_a_language_alone_may_have_one(self) -> None:
        whatsapp = {"name": "oi", "language": "pt_BR", "body": []}
        template = body("Hi", i18n={"pt_BR": {"whatsapp": whatsapp}})
        assert template.has_whatsapp_template(("pt_BR",))
        assert not template.has_whatsapp_template(("pt",))
        assert not template.has_whatsapp_template(("en",))


class TestCompileStored:
    def test_a_template_that_is_sent_again_is_not_parsed_again(self) -> None:
        first = compile_stored(core(), lang="en")
        assert compile_stored(core(), lang="en") is first
        assert compile_stored(core(), lang="pt") is not first
        assert compile_stored(core(i18n={}), lang="en") is not first
