import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.status import Channel
from app.domain.template import CompiledTemplate, compile_template
from app.domain.template.active import why_address, why_html
from app.errors import InvalidInput

LAYOUT = """<mjml>
  <mj-head>
    <mj-title>{{ blocks.subject }}</mj-title>
    <mj-preview>{{ blocks.preheader }}</mj-preview>
    <mj-font name="Raleway" href="https://fonts.example/css?family=Raleway" />
    <mj-attributes><mj-all font-family="Raleway, Arial" /></mj-attributes>
    <mj-style>.x { color: red }</mj-style>
  </mj-head>
  <mj-body>
    <!-- our {{ code }} -->
    {% if contact.tags contains "vip" and 3 > 2 %}
    <mj-section><mj-column><mj-text>VIP<br>only</mj-text></mj-column></mj-section>
    {% endif %}
    <mj-section>
      <mj-column>
        <mj-image src="https://img.example/{{ code }}.png" alt="{{ contact.first_name }}" />
        <mj-text>Hi {{ contact.first_name | default: "you" }},&nbsp;{{ blocks.body }}</mj-text>
        {% for button in blocks.buttons %}<mj-button href="{{ button.url }}">{{ button.text }}</mj-button>{% endfor %}
        <mj-table><tr>{% for tag in contact.tags %}<td>{{ tag }}</td>{% endfor %}</tr></mj-table>
        <mj-raw><!--[if mso]><table><tr><td>Outlook</td></tr></table><![endif]--></mj-raw>
        <mj-text><a href='https://x.example/?a=1&amp;c={{ code | url_encode }}'>more</a></mj-text>
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>"""
CONTEXT: dict[str, Any] = {
    "contact": {"first_name": "Ana", "tags": ["vip", "pt"], "attributes": {}},
    "tenant": {"name": "Acme"},
    "unsubscribe_url": "https://relay.example/u/abc?x=1&y=2",
    "code": "X1",
}


def layout(mjml: str, **blocks: Any) -> CompiledTemplate:
    buttons = [{"text": "Shop & go", "url": "https://shop.example/?a=1&b=2"}]
    return compile_template(
        {
            "variables": [{"name": "code"}],
            "blocks": {"subject": "News", "preheader": "In", "body": "One\nTwo", "buttons": buttons, **blocks},
            "email": {"mjml": mjml},
        },
        lang="en_GB",
    )


def within(text: str) -> str:
    return (
        f"<mjml><mj-body><mj-section><mj-column>\n<mj-text>{text}</mj-text></mj-column></mj-section></mj-body></mjml>"
    )


def html_of(template: CompiledTemplate, **changes: Any) -> str:
    return str(template.render(Channel.EMAIL, (), {**CONTEXT, **changes}).content["html"])


def mistakes(mjml: str) -> str:
    with pytest.raises(InvalidInput) as raised:
        layout(mjml)
    assert {error.pointer for error in raised.value.errors} == {"/core_schema/email/mjml"}
    return "\n".join(error.detail for error in raised.value.errors)


class TestLayout:
    def test_liquid_chooses_repeats_and_fills(self) -> None:
        html = html_of(layout(LAYOUT))
        for part in (
            '<html lang="en-GB" dir="ltr"',
            "<title>News</title>",
            "VIP<br />only",
            'src="https://img.example/X1.png"',
            'alt="Ana"',
            "Hi Ana,&nbsp;One<br/>Two",
            'href="https://shop.example/?a=1&amp;b=2"',
            ">Shop &amp; go</a>",
            "<td>vip</td><td>pt</td>",
            "<td>Outlook</td>",
            'href="https://x.example/?a=1&amp;c=X1"',
            "https://fonts.example/css?family=Raleway",
        ):
            assert part in html
        assert "VIP" not in html_of(layout(LAYOUT), contact={"tags": []})
        assert "relayslot" not in html
        assert "our" not in html
        assert "mj-text" not in html

    def test_language_and_direction_are_those_of_the_message(self) -> None:
        core = {"blocks": {"body": "x"}, "email": {"mjml": within("x")}, "i18n": {"ar": {"body": "س"}}}
        html = compile_template(core).render(Channel.EMAIL, ("ar",), CONTEXT).content["html"]
        assert '<html lang="ar" dir="rtl"' in html

    def test_a_language_may_have_its_own(self) -> None:
        core = {"blocks": {"body": "x"}, "email": {"mjml": within("one")}}
        i18n = {"pt": {"email": {"mjml": within("um")}}}
        template = compile_template({**core, "i18n": i18n})
        assert ">um</div>" in template.render(Channel.EMAIL, ("pt",), CONTEXT).content["html"]

    def test_other_channels_and_the_text_part_are_made_of_the_blocks(self) -> None:
        template = layout(LAYOUT)
        assert template.render(Channel.SMS, (), CONTEXT).content["body"].startswith("One\nTwo\nShop & go: https://")
        assert template.render(Channel.EMAIL, (), CONTEXT).content["text"].startswith("One\nTwo")

    def test_a_layout_without_a_link_to_unsubscribe_gets_one(self) -> None:
        href = 'href="https://relay.example/u/abc?x=1&amp;y=2"'
        html = html_of(layout(within("x")))
        assert html.count(href) == 1
        assert html.index(href) < html.index("</body>")
        own = layout(within('<a href="{{ unsubscribe_url }}">Bye</a>'))
        assert html_of(own).count(href) == 1
        assert "Unsubscribe" not in html_of(own)
        assert "Unsubscribe" not in html_of(layout(within("x")), unsubscribe_url="")
        assert html_of(layout(within("{{ unsubscribe_url }}"))).count(href) == 1

    def test_what_is_no_marketing_shows_it_only_where_the_layout_does(self) -> None:
        for html, count in (("x", 0), ("<a href='{{ unsubscribe_url }}'>Bye</a>", 1)):
            template = layout(within(html))
            content = template.render(Channel.EMAIL, (), CONTEXT, unsubscribe=False).content
            assert content["html"].count("relay.example/u/abc") == count
            assert "relay.example/u/abc" not in content["text"]
            assert ("unsubscribe_url" in template.names) == (count == 1)

    @pytest.mark.parametrize(
        "element",
        [
            "<mj-social>{% if code %}<mj-social-element name='x' href='{{ code }}'>x</mj-social-element>{% endif %}"
            "</mj-social>",
            "<mj-accordion>{% if code %}<mj-accordion-element><mj-accordion-title>{{ code }}</mj-accordion-title>"
            "<mj-accordion-text>b</mj-accordion-text></mj-accordion-element>{% endif %}</mj-accordion>",
            "<mj-navbar hamburger='hamburger'>{% if code %}<mj-navbar-link href='https://x.example'>{{ code }}"
            "</mj-navbar-link>{% endif %}</mj-navbar>",
        ],
    )
    def test_the_elements_of_mjml_are_there(self, element: str) -> None:
        template = layout(f"<mjml><mj-body><mj-section><mj-column>{element}</mj-column></mj-section></mj-body></mjml>")
        assert "https://x.example/1" in html_of(template, code="https://x.example/1")


class TestActiveContent:
    @pytest.mark.parametrize(
        ("html", "named"),
        [
            ("<script>x</script>", "<script>"),
            ("<SCRIPT src='https://x.example/a.js'></SCRIPT>", "<script>"),
            ("<iframe src='https://x.example'></iframe>", "<iframe>"),
            ("<object></object>", "<object>"),
            ("<embed />", "<embed>"),
            ("<form action='https://x.example'></form>", "<form>"),
            ("<input />", "<input>"),
            ("<svg onload='x'></svg>", "<svg>"),
            ("<link rel='stylesheet' href='https://x.example' />", "<link>"),
            ("<base href='https://x.example' />", "<base>"),
            ("<meta http-equiv='refresh' content='0;url=https://x.example' />", "refresh"),
            ("<p onclick='x'>x</p>", "onclick"),
            ("<img/onerror='x' src='https://x.example' />", "onerror"),
            ("<img src='https://x.example'onerror='x' />", "onerror"),
            ("<a href='javascript:x'>x</a>", "javascript:"),
            ("<a href='java\tscript:x'>x</a>", "javascript:"),
            ("<a href='&#106;avascript&colon;x'>x</a>", "javascript:"),
            ("<a href=' vbscript:x'>x</a>", "vbscript:"),
            ("<a href='javascript:{{ code }}'>x</a>", "javascript:"),
            ("<a href='{% if code %}javascript:{% endif %}x'>x</a>", "javascript:"),
            ("<img src='data:image/png;base64,xx' />", "data:"),
            ("<img srcset='https://x.example 2x' src='https://x.example' />", "srcset"),
            ("<p style='background:url(javascript:x)'>x</p>", "javascript:"),
            ("<p style='background:url(data:x)'>x</p>", "data:"),
            ("<p style='width:expression(1)'>x</p>", "expression("),
            ("<style>@import 'https://x.example'</style>", "@import"),
            ("<!--[if mso]><script>x</script><![endif]-->", "<script>"),
            ("<![CDATA[<script>x</script>]]>", "<script>"),
        ],
    )
    def test_it_is_refused_by_its_name_and_line(self, html: str, named: str) -> None:
        said = mistakes(within(html))
        assert "line 2: " in said
        assert named in said

    @pytest.mark.parametrize(
        ("mjml", "named"),
        [
            ("<mjml><mj-body>\n\n<mj-include path='/etc/passwd' /></mj-body></mjml>", "line 3: <mj-include>"),
            ("<mjml><mj-body>\n<mj-raw><iframe></iframe></mj-raw></mj-body></mjml>", "line 2: <iframe>"),
            ("<mjml><mj-head>\n<mj-style>a { b: url(data:x) }</mj-style></mj-head><mj-body></mj-body></mjml>", "data:"),
            (
                "<mjml><mj-head><mj-html-attributes></mj-html-attributes></mj-head><mj-body></mj-body></mjml>",
                "<mj-html-attributes>",
            ),
            (
                "<mjml><mj-body><mj-section background-url='javascript:x'></mj-section></mj-body></mjml>",
                "javascript:",
            ),
            ("<mjml><mj-body><mj-wrapper css-class='a' onload='x'></mj-wrapper></mj-body></mjml>", "onload"),
        ],
    )
    def test_it_is_refused_wherever_it_stands(self, mjml: str, named: str) -> None:
        assert named in mistakes(mjml)

    @given(st.text(max_size=10), st.sampled_from(["javascript", "data", "vbscript", "file", "blob"]))
    def test_no_disguise_makes_an_address_harmless(self, tail: str, scheme: str) -> None:
        for disguised in (f"{scheme}:{tail}", f" {scheme.upper()}:{tail}", f"{scheme[0]}\n{scheme[1:]}&#58;{tail}"):
            assert why_address(disguised) is not None

    def test_what_mails_have_is_allowed(self) -> None:
        assert html_of(layout(within("<a href='#top'>x</a> <a href='https://x.example'>y</a>")))
        page = (
            "<p style='color:red'><a href='mailto:a@x.example'>a</a><a href='tel:+351'>b</a><img src='https://x/y'></p>"
        )
        assert why_html(page) is None


class TestPlacesOfLiquid:
    @pytest.mark.parametrize(
        ("mjml", "reason"),
        [
            (within("<p style='color:{{ code }}'>x</p>"), "line 2: Liquid cannot stand in style of <p>"),
            (within("<p {{ code }}>x</p>"), "must stand in the quoted value"),
            (within("<p {% if code %}title='a'{% endif %}>x</p>"), "must stand in the quoted value"),
            (within("<{{ code }}>x"), "cannot make the name of an element"),
            (
                within("<b>{% if code %}</b>{% endif %}"),
                "{% endif %} stands in another element than {% if %} of line 2",
            ),
            (within("{% capture x %}a{% endcapture %}"), "'capture' is not allowed"),
            (within("{% raw %}{{ code }}{% endraw %}"), "'raw' is not allowed"),
            (within("{{ nobody }}"), "'nobody' is not declared"),
            (within("{{ blocks.title }}"), "blocks has no 'title'"),
            (within("{% if code %}x"), "endif"),
            (within("{{ code"), "line 2"),
            ("<mjml><mj-body>\n{{ code }}</mj-body></mjml>", "line 2: a value cannot stand in <mj-body>"),
            ("{% if code %}<mjml></mjml>{% endif %}", "outside <mjml>"),
            ("<mjml><mj-head><mj-style>{{ code }}</mj-style></mj-head></mjml>", "Liquid cannot stand in <mj-style>"),
            (
                "<mjml><mj-body><mj-section background-url='{{ code }}'></mj-section></mj-body></mjml>",
                "background-url of <mj-section>",
            ),
        ],
    )
    def test_others_are_named(self, mjml: str, reason: str) -> None:
        assert reason in mistakes(mjml)


class TestBrokenMjml:
    @pytest.mark.parametrize(
        ("mjml", "reason"),
        [
            ("hello", "line 1: it must begin with <mjml>"),
            ("<p>hello</p>", "line 1: it must begin with <mjml>"),
            (
                "<mjml><mj-body>\n<mj-section>\n<mj-text>x\n</mj-section></mj-body></mjml>",
                "</mj-section> closes <mj-text>",
            ),
            ("<mjml><mj-body>\n<mj-section></mj-section>", "line 1: <mj-body> is never closed"),
            ("<mjml><mj-body>\n\n<mj-sektion></mj-sektion></mj-body></mjml>", "line 3: <mj-sektion> is no element"),
            (within("a < b"), "line 2: a < opens no element"),
            (within("<a href=https://x.example>x</a>"), "need quotes"),
            (within("<a href='/shop'>x</a>"), "line 2: '/shop' (href of <a>) is not a whole address"),
            (within("<img src='//x.example/a.png' />"), "is not a whole address"),
            (within("<b>" * 100 + "</b>" * 100), "line 2: elements are nested more than 60 deep"),
            (within("<!--" * 40_000), "line 2: a comment is never closed"),
            (within("<!--[if mso]>" + "<a " * 2_000 + "<![endif]-->"), "line 2: a conditional comment has at most"),
            (within("<!--[if mso]>" + "<![" * 9 + "<![endif]-->"), "line 2: a declaration"),
            (within("{{" * 90_000), "Liquid: expected '}}', found end of file (line 2, column 10)"),
            (within("{% raw %}" * 20_000), "Liquid: expected tag endraw"),
            (within("{{ " + "(" * 3_000 + " }}"), "over the limit of 2,000 characters"),
            (within("x" * 200_000), "must not be longer than 200,000"),
        ],
    )
    def test_line_and_reason_are_named(self, mjml: str, reason: str) -> None:
        assert reason in mistakes(mjml)


class TestValues:
    @pytest.mark.parametrize(
        "filters", ["", " | escape", " | escape_once", " | newline_to_br", " | escape | newline_to_br"]
    )
    def test_they_are_escaped_once(self, filters: str) -> None:
        html = html_of(layout(within("[{{ code" + filters + " }}]")), code="a < b\n&amp;")
        assert "[a &lt; b<br/>&amp;amp;]" in html

    @pytest.mark.parametrize("name", ["safe", "raw", "html_safe"])
    def test_nothing_switches_that_off(self, name: str) -> None:
        assert f"unknown filter '{name}'" in mistakes(within("{{ code | " + name + " }}"))

    @pytest.mark.parametrize(
        "value",
        ["javascript:alert(1)", " JAVASCRIPT:x", "data:text/html,x", "//x.example", "x", "", "https://a b", "ftp://x"],
    )
    def test_an_address_is_checked_when_it_is_rendered(self, value: str) -> None:
        for html in ("<a href='{{ code }}'>x</a>", "<img src='{{ code }}' />"):
            with pytest.raises(InvalidInput, match="address") as raised:
                html_of(layout(within(html)), code=value)
            assert raised.value.errors[0].pointer == "/core_schema/email/mjml"

    @pytest.mark.parametrize(
        "value", ["https://x.example/?a=1&b=2", "HTTP://x.example", "mailto:a@x.example", "tel:+351"]
    )
    def test_the_web_a_mail_and_a_call_are_addresses(self, value: str) -> None:
        html = html_of(layout(within("<a href='{{ code }}'>x</a>")), code=value)
        assert f'href="{value.replace("&", "&amp;")}"' in html

    @settings(max_examples=60, deadline=None)
    @given(
        value=st.text(
            st.sampled_from("<>\"'&;/=! -{}%ax\x0b|`") | st.characters(exclude_categories=["Cs"]), max_size=30
        )
    )
    def test_no_value_changes_the_structure_of_the_page(self, value: str) -> None:
        hostile = f"q7{value}7q"
        contact = {"first_name": hostile, "tags": [hostile, "vip"], "attributes": {}}
        for template in (OWN, BUILT_IN):
            html = html_of(template, contact=contact)
            assert structure(html) == structure(
                html_of(template, contact={**contact, "first_name": "A", "tags": ["B", "vip"]})
            )
            if re.search("[<>\"'&]", value):
                assert hostile not in html


def structure(html: str) -> list[Any]:
    """Its elements with the names of their attributes, without line breaks."""
    found: list[Any] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag != "br":
                found.append((tag, [name for name, _ in attrs]))

        def handle_endtag(self, tag: str) -> None:
            found.append(f"/{tag}")

        def handle_comment(self, data: str) -> None:
            found.append(data)

    reader = Reader()
    reader.feed(html)
    reader.close()
    return [item for item in found if item != "/br"]


OWN = layout(LAYOUT)
BUILT_IN = compile_template(
    {
        "blocks": {
            "subject": "{{ contact.first_name }}",
            "preheader": "{{ contact.tags | join: ', ' }}",
            "header": "{{ contact.first_name | upcase }}",
            "body": "Hi {{ contact.first_name }}\n{{ contact.tags }}",
            "footer": "{{ contact.first_name }}",
            "buttons": [{"text": "{{ contact.first_name }}", "url": "https://x.example"}],
            "media": {"type": "image", "url": "https://x.example/a.png"},
        }
    }
)
