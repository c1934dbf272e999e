"""What the parts of a core template become on each channel, and what the preview says of it."""

from typing import Any

import pytest

from app.domain.status import Channel, MessageType
from app.domain.template import CompiledTemplate, compile_template
from app.domain.template.compiled import Rendered
from app.domain.template.preview import segments_shown, warnings
from app.errors import InvalidInput

CONTEXT: dict[str, Any] = {
    "contact": {"first_name": "João", "tags": [], "attributes": {}},
    "tenant": {"name": "Acme"},
    "unsubscribe_url": "https://relay.example/u/abc",
}
IMAGE = {"type": "image", "url": "https://x.example/a.png"}
VIDEO = {"type": "video", "url": "https://x.example/films/tour.mp4?x=1"}
LINK = {"text": "Shop", "url": "https://shop.example"}
REPLY = {"type": "quick_reply", "text": "Yes"}


def template(core: dict[str, Any] | None = None, **blocks: Any) -> CompiledTemplate:
    return compile_template(
        {"blocks": {"subject": "S", "body": "Olá {{ contact.first_name }}", **blocks}, **(core or {})}
    )


def render(channel: Channel, made: CompiledTemplate, *languages: str, **options: Any) -> Rendered:
    return made.render(channel, languages, CONTEXT, **options)


def said(channel: Channel, made: CompiledTemplate, *languages: str, **options: Any) -> list[str]:
    return warnings(made, channel, languages, render(channel, made, *languages, **options), **options)


class TestSms:
    def test_a_text_of_its_own_is_sent_as_it_is(self) -> None:
        made = template({"sms": {"body": "{{ tenant.name }}: hi"}}, buttons=[LINK])
        assert render(Channel.SMS, made).content == {"body": "Acme: hi"}
        assert "Shop" in render(Channel.EMAIL, made).content["text"]

    def test_transliterated_it_is_gsm(self) -> None:
        made = template({"sms": {"transliterate": True}})
        assert render(Channel.SMS, made).content == {"body": "Ola Joao"}
        assert render(Channel.EMAIL, made).content["text"].startswith("Olá João")

    def test_of_emoji_alone_nothing_would_be_left(self) -> None:
        with pytest.raises(InvalidInput, match="Nothing is left"):
            render(Channel.SMS, template({"sms": {"transliterate": True}}, body="🎉"))

    def test_a_language_changes_what_it_says_alone(self) -> None:
        i18n = {"pt": {"sms": {"transliterate": False}}, "ar": {"sms": {"body": "س"}}}
        made = template({"sms": {"transliterate": True, "body": "ç", "short_links": False}, "i18n": i18n})
        assert render(Channel.SMS, made).content == {"body": "c"}
        assert render(Channel.SMS, made, "pt").content == {"body": "ç"}
        assert render(Channel.SMS, made, "ar").content == {"body": "s"}
        assert render(Channel.SMS, made, "ar").short_links is False

    @pytest.mark.parametrize(
        ("sms", "takes_media", "content"),
        [
            ({}, True, {"body": "Hi", "media_urls": ["https://x.example/a.png"]}),
            ({}, False, {"body": "Hi\nhttps://x.example/a.png"}),
            ({"media": "link"}, True, {"body": "Hi\nhttps://x.example/a.png"}),
            ({"media": "none"}, True, {"body": "Hi"}),
            ({"body": "Own"}, True, {"body": "Own", "media_urls": ["https://x.example/a.png"]}),
            ({"body": "Own"}, False, {"body": "Own"}),
        ],
    )
    def test_media_is_attached_linked_or_left_out(self, sms: Any, takes_media: bool, content: Any) -> None:
        rendered = render(Channel.SMS, template({"sms": sms}, body="Hi", media=IMAGE), media=takes_media)
        assert rendered.content == content
        assert rendered.type is (MessageType.MEDIA if "media_urls" in content else MessageType.TEXT)


class TestEmail:
    def test_a_picture_is_shown(self) -> None:
        content = render(Channel.EMAIL, template(media=IMAGE)).content
        assert 'src="https://x.example/a.png"' in content["html"]
        assert "a.png" not in content["text"]

    @pytest.mark.parametrize(
        ("media", "name"),
        [
            (VIDEO, "tour.mp4"),
            ({"type": "document", "url": "https://x.example/1", "filename": "Offer & more.pdf"}, "Offer & more.pdf"),
        ],
    )
    def test_other_media_is_a_link_with_its_name(self, media: dict[str, str], name: str) -> None:
        content = render(Channel.EMAIL, template(media=media)).content
        assert f'<a href="{media["url"]}">{name.replace("&", "&amp;")}</a>' in content["html"]
        assert f"{name}: {media['url']}" in content["text"]

    @pytest.mark.parametrize(
        ("lang", "direction"),
        [("ar", "rtl"), ("he_IL", "rtl"), ("fa", "rtl"), ("ur_PK", "rtl"), ("en", "ltr"), ("arn", "ltr")],
    )
    def test_it_is_laid_out_as_its_language_is_read(self, lang: str, direction: str) -> None:
        html = render(Channel.EMAIL, template({"i18n": {lang: {"header": "H"}}}), lang).content["html"]
        other = {"rtl": "ltr", "ltr": "rtl"}[direction]
        assert f'dir="{direction}"' in html
        assert f"direction:{direction}" in html
        assert other not in html

    def test_a_button_calls_a_number_without_spaces(self) -> None:
        button = {"type": "phone", "text": "Call", "phone": "+351 (21) 000-0000"}
        content = render(Channel.EMAIL, template(buttons=[button, REPLY])).content
        assert 'href="tel:+351210000000"' in content["html"]
        assert "Call: +351 (21) 000-0000" in content["text"]
        assert "Yes" not in content["text"]

    @pytest.mark.parametrize(("part", "value"), [("phone", "call me"), ("phone", ""), ("phone", "javascript:x")])
    def test_a_number_is_checked(self, part: str, value: str) -> None:
        button = {"type": part, "text": "Call", part: "{{ number }}"}
        made = compile_template({"variables": [{"name": "number"}], "blocks": {"body": "x", "buttons": [button]}})
        with pytest.raises(InvalidInput, match="not a telephone number"):
            made.render(Channel.EMAIL, (), {**CONTEXT, "number": value})

    @pytest.mark.parametrize("url", ["", "javascript:x", "ftp://x.example", "x"])
    def test_the_address_of_media_is_checked(self, url: str) -> None:
        media = {"type": "image", "url": "{{ url }}"}
        made = compile_template({"variables": [{"name": "url"}], "blocks": {"body": "x", "media": media}})
        for channel in Channel:
            with pytest.raises(InvalidInput, match="not an http or https address") as raised:
                made.render(channel, (), {**CONTEXT, "url": url})
            assert raised.value.errors[0].pointer == "/core_schema/blocks/media/url"

    def test_a_button_without_words_is_refused(self) -> None:
        button = {"text": "{{ contact.last_name }}", "url": "https://x.example"}
        with pytest.raises(InvalidInput, match="text of the button renders to nothing"):
            render(Channel.EMAIL, template(buttons=[button]))


class TestWarnings:
    @pytest.mark.parametrize(
        ("channel", "made", "options", "words"),
        [
            (Channel.SMS, template(), {}, ["Not in GSM-7: á ã. A part", "sms.transliterate writes them"]),
            (Channel.SMS, template(body="مرحبا"), {}, ["Not in GSM-7"]),
            (Channel.SMS, template({"sms": {"transliterate": True}}, body="مرحبا"), {}, ["few can read"]),
            (Channel.SMS, template(body="x" * 161), {}, ["sent, and paid for, as 2 messages"]),
            (Channel.SMS, template(body="x", buttons=[REPLY]), {}, ["1 quick replies are not shown"]),
            (Channel.SMS, template(body="x", media=IMAGE), {"media": False}, ["takes no media"]),
            (Channel.EMAIL, template(subject=None), {}, ["There is no subject", "'Olá João'"]),
            (Channel.EMAIL, template(subject="x" * 79), {}, ["has 79 characters"]),
            (Channel.WHATSAPP, template(), {}, ["No approved template"]),
            (Channel.WHATSAPP, template(body="x" * 5000), {}, ["No approved template", "5,000 characters"]),
        ],
    )
    def test_what_should_be_known_is_said(
        self, channel: Channel, made: CompiledTemplate, options: Any, words: list[str]
    ) -> None:
        found = "\n".join(said(channel, made, **options))
        assert all(word in found for word in words)
        assert ("sms.transliterate writes them" in found) == ("sms.transliterate writes them" in words)

    def test_a_good_message_has_none(self) -> None:
        whatsapp = {"name": "n", "language": "en", "body": ["{{ contact.first_name }}"]}
        made = template({"whatsapp": whatsapp}, body="Hi")
        assert [said(channel, made) for channel in Channel] == [[], [], []]

    def test_words_of_another_language_are_named(self) -> None:
        text = "<mj-text>Hello{{ x }}</mj-text>"
        mjml = f"<mjml><mj-body><mj-section><mj-column>{text}</mj-column></mj-section></mj-body></mjml>"
        core = {"sms": {"body": "Hello"}, "email": {"mjml": mjml.replace("{{ x }}", "")}}
        made = template({**core, "i18n": {"pt": {"body": "Bom dia"}}})
        assert "nothing of it is in pt" in said(Channel.EMAIL, made, "pt")[-1]
        assert "pt has none of its own" in said(Channel.SMS, made, "pt")[-1]
        assert said(Channel.SMS, made) == []
        reads = template(
            {"email": {"mjml": mjml.replace("{{ x }}", "{{ blocks.body }}")}, "i18n": {"pt": {"body": "Bom"}}}
        )
        assert "nothing of it" not in "".join(said(Channel.EMAIL, reads, "pt"))


class TestSegmentsShown:
    def test_names_what_forces_ucs2(self) -> None:
        shown = segments_shown("ção 😀😀")
        assert (shown.encoding, shown.units, shown.segments) == ("ucs2", 8, 1)
        assert [(item["character"], item["code"], item["count"]) for item in shown.forced_by] == [
            ("ç", "U+00E7", 1),
            ("ã", "U+00E3", 1),
            ("😀", "U+1F600", 2),
        ]

    def test_names_only_so_many(self) -> None:
        assert len(segments_shown("".join(map(chr, range(0x4E00, 0x4E50)))).forced_by) == 20
