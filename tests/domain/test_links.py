from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.links import (
    Shortening,
    eligible,
    email_shortening,
    is_web_address,
    links_in,
    links_in_html,
    replaced,
    replaced_in_html,
    sms_shortening,
)
from app.domain.status import Channel, Purpose
from app.tokens import ALPHABET, CODE_LENGTH, ShortCodes

PUBLIC = "https://relay.example"
SHORT = len(f"{PUBLIC}/r/") + CODE_LENGTH
MESSAGE = UUID(int=7)


class TestLinksInText:
    @pytest.mark.parametrize(
        ("text", "links"),
        [
            ("No link, http: nothing", []),
            ("Shop: https://shop.example/a?b=c&d=%20#e", ["https://shop.example/a?b=c&d=%20#e"]),
            ("See https://a.example/x, http://b.example.", ["https://a.example/x", "http://b.example"]),
            ("(https://a.example/wiki/X_(y)) and “https://b.example/”!", ["https://a.example/wiki/X_(y)", "https://b.example/"]),
            ("HTTPS://A.EXAMPLE/x\nhttps://b.example/é😊", ["HTTPS://A.EXAMPLE/x", "https://b.example/é😊"]),
            ("https:// http://[bad javascript://x ftp://y https://.", []),
        ],
    )  # fmt: skip
    def test_they_end_where_a_reader_would_say(self, text: str, links: list[str]) -> None:
        assert links_in(text) == links

    def test_one_that_is_longer_than_any_stays(self) -> None:
        long = "https://a.example/" + ")." * 50_000
        assert links_in(f"{long} https://b.example") == ["https://b.example"]
        assert replaced(long, {"https://a.example/": "x"}) == long

    def test_only_the_links_change(self) -> None:
        text = "Hi: (https://a.example/x). https://b.example, https://a.example/xy"
        changed = replaced(text, {"https://a.example/x": "https://s.example/1"})
        assert changed == "Hi: (https://s.example/1). https://b.example, https://a.example/xy"

    @given(
        st.text()
        | st.lists(st.sampled_from(["https://a.example/x", "(", ")", ".", " ", "\n", "é", "http://"])).map("".join)
    )
    def test_what_is_found_can_be_put_back(self, text: str) -> None:
        there = {link: f"<{place}>" for place, link in enumerate(dict.fromkeys(links_in(text)))}
        changed = replaced(text, there)
        assert replaced(text, {link: link for link in there}) == text
        assert all(mark in changed for mark in there.values())


class TestLinksInHtml:
    HTML = '<a class="x" href="https://a.example/?b=1&amp;c=2">https://a.example/?b=1&amp;c=2</a> <a href="tel:+351">'

    def test_anchors_lead_elsewhere_and_say_the_same(self) -> None:
        assert links_in_html(self.HTML) == ["https://a.example/?b=1&c=2"]
        changed = replaced_in_html(self.HTML, {"https://a.example/?b=1&c=2": "https://s.example/1"})
        assert changed == self.HTML.replace('href="https://a.example/?b=1&amp;c=2"', 'href="https://s.example/1"')

    def test_a_new_address_is_escaped(self) -> None:
        assert (
            replaced_in_html('<a href="http://a">', {"http://a": 'http://"><b>'})
            == '<a href="http://&quot;&gt;&lt;b&gt;">'
        )


class TestWhichLinks:
    @pytest.mark.parametrize(
        ("purpose", "wanted", "shortening"),
        [
            (Purpose.MARKETING, None, Shortening.ALWAYS),
            (Purpose.TRANSACTIONAL, None, Shortening.IF_SHORTER),
            (Purpose.TRANSACTIONAL, True, Shortening.ALWAYS),
            (Purpose.MARKETING, False, Shortening.NEVER),
        ],
    )
    def test_sms(self, purpose: Purpose, wanted: bool | None, shortening: Shortening) -> None:
        assert sms_shortening(purpose, wanted) is shortening

    def test_email_leaves_it_to_providers_that_track(self) -> None:
        assert email_shortening(Purpose.MARKETING, None, "sendgrid") is Shortening.NEVER
        assert email_shortening(Purpose.MARKETING, True, "sendgrid") is Shortening.ALWAYS
        assert email_shortening(Purpose.MARKETING, None, "smtp") is Shortening.ALWAYS
        assert email_shortening(Purpose.MARKETING, False, "smtp") is Shortening.NEVER
        assert email_shortening(Purpose.TRANSACTIONAL, None, "smtp") is Shortening.NEVER

    def test_ours_stay_but_for_the_way_out_of_an_sms(self) -> None:
        own, short = f"{PUBLIC}/u/{'x' * 90}", f"{PUBLIC}/r/0123456789"
        for shortening in Shortening:
            assert not eligible(short, Channel.SMS, shortening, PUBLIC, SHORT)
            assert eligible(own, Channel.SMS, shortening, PUBLIC, SHORT)
            assert not eligible(own, Channel.EMAIL, shortening, PUBLIC, SHORT)

    def test_a_link_that_is_short_already_stays_unless_clicks_are_wanted(self) -> None:
        link = "https://a.example"
        assert not eligible(link, Channel.SMS, Shortening.IF_SHORTER, PUBLIC, SHORT)
        assert eligible(link + "/" + "x" * SHORT, Channel.SMS, Shortening.IF_SHORTER, PUBLIC, SHORT)
        assert eligible(link, Channel.SMS, Shortening.ALWAYS, PUBLIC, SHORT)


class TestIsWebAddress:
    @pytest.mark.parametrize(
        "url", ["javascript:alert(1)", "//a.example", "/u/x", "ftp://a", "https://", "http://[x", ""]
    )
    def test_nothing_else_is_one(self, url: str) -> None:
        assert not is_web_address(url)


class TestShortCodes:
    KEY, OTHER = bytes(range(32)), bytes(range(32, 64))

    def test_the_same_link_of_the_same_message_has_the_same_code(self) -> None:
        codes, again = ShortCodes({"k1": self.KEY}), ShortCodes({"k1": self.KEY, "k0": self.OTHER})
        code = codes.code(MESSAGE, "https://a.example")
        assert code == again.code(MESSAGE, "https://a.example")
        assert len(code) == CODE_LENGTH
        assert set(code) <= set(ALPHABET)

    def test_anything_else_has_another(self) -> None:
        codes = ShortCodes({"k1": self.KEY})
        made = {codes.code(UUID(int=n), f"https://a.example/{m}") for n in range(50) for m in range(50)}
        assert len(made) == 2_500
        assert codes.code(MESSAGE, "x") != ShortCodes({"k1": self.OTHER}).code(MESSAGE, "x")

    def test_a_key_is_needed(self) -> None:
        with pytest.raises(ValueError, match="RELAY_MASTER_KEYS"):
            ShortCodes({})
