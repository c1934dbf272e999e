"""What a rendered message costs and where it may disappoint: shown before it is sent, never a reason not to send."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.domain.sms import SmsEncoding, outside_gsm, segments
from app.domain.status import Channel, MessageType
from app.domain.template.as_email import SUBJECT_LENGTH
from app.domain.template.compiled import CompiledTemplate, Rendered
from app.domain.template.content import Content

CLIPPED_HTML = 102_000  # bytes: Gmail shows no more, and hides what follows behind a link
LONGEST_TEXT = 4_096  # characters of a WhatsApp text
MOST_NAMED = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentsShown:
    """`forced_by` names the characters that are not in GSM-7, for which the whole text is sent in UCS-2."""

    encoding: str
    units: int
    segments: int
    forced_by: tuple[dict[str, Any], ...]


def segments_shown(text: str) -> SegmentsShown:
    count = segments(text)
    named = tuple(_named(char, text) for char in outside_gsm(text)[:MOST_NAMED])
    return SegmentsShown(encoding=count.encoding.value, units=count.units, segments=count.segments, forced_by=named)


def _named(char: str, text: str) -> dict[str, Any]:
    name = unicodedata.name(char, "").lower()
    return {"character": char, "code": f"U+{ord(char):04X}", "name": name, "count": text.count(char)}


def warnings(
    template: CompiledTemplate, channel: Channel, languages: tuple[str, ...], rendered: Rendered, *, media: bool = True
) -> list[str]:
    """What the writer should know about the message on this channel."""
    content = template.content(languages)
    if channel is Channel.EMAIL:
        found = _of_email(template, content, rendered.content)
    elif channel is Channel.SMS:
        found = _of_sms(template, content, rendered.content, media)
    else:
        found = _of_whatsapp(content, rendered)
    return list(found)


def _of_email(template: CompiledTemplate, content: Content, shown: dict[str, Any]) -> Iterator[str]:
    size = len(shown["html"].encode())
    if size > CLIPPED_HTML:
        yield f"The HTML has {size:,} bytes; Gmail cuts an e-mail off after about {CLIPPED_HTML:,}."
    if "subject" not in content.texts:
        yield f"There is no subject; the first line stands in: {shown['subject']!r}."
    elif len(shown["subject"]) > SUBJECT_LENGTH:
        yield f"The subject has {len(shown['subject'])} characters; many mailboxes show less than {SUBJECT_LENGTH}."
    layout = content.layout
    if layout is None:
        return
    if "unsubscribe_url" not in layout.names:
        yield "The layout has no {{ unsubscribe_url }}; marketing e-mails get a link to unsubscribe below it."
    if _is_foreign(template, content, layout.pointer) and not any(name.startswith("blocks.") for name in layout.names):
        yield f"The layout is that of the default language, and reads no blocks.*; nothing of it is in {content.lang}."


def _of_sms(template: CompiledTemplate, content: Content, shown: dict[str, Any], media: bool) -> Iterator[str]:
    text = shown["body"]
    count = segments(text)
    if count.encoding is SmsEncoding.UCS2:
        listed = " ".join(
            char if char.isprintable() else f"U+{ord(char):04X}" for char in outside_gsm(text)[:MOST_NAMED]
        )
        hint = "" if _is_of_another_script(text) else "; sms.transliterate writes them in its letters"
        yield f"Not in GSM-7: {listed}. A part of the SMS therefore holds 70 characters rather than 160{hint}."
    if content.sms.transliterate and _is_of_another_script((content.sms.body or content.texts["body"]).source):
        yield "sms.transliterate writes this language in Latin letters, which few can read."
    if count.segments > 1:
        yield f"The SMS is sent, and paid for, as {count.segments} messages."
    yield from _replies_left_out(content)
    if content.sms.body is not None and _is_foreign(template, content, content.sms.body.pointer):
        yield f"sms.body is that of the default language; {content.lang} has none of its own."
    if content.media is not None and content.sms.media == "attach" and not media:
        yield "The provider of SMS takes no media: its address is in the text."


def _of_whatsapp(content: Content, rendered: Rendered) -> Iterator[str]:
    if rendered.type is MessageType.TEMPLATE:
        return
    yield "No approved template (whatsapp): this is sent only within 24 hours of the person's last message."
    if "buttons" not in rendered.content:
        yield from _replies_left_out(content)
    if len(rendered.content.get("body", "")) > LONGEST_TEXT:
        yield f"The text has {len(rendered.content['body']):,} characters; WhatsApp takes at most {LONGEST_TEXT:,}."


def _is_of_another_script(text: str) -> bool:
    """Whether it has letters that are hard to read in Latin ones."""
    return any(char.isalpha() and not unicodedata.name(char, "LATIN").startswith("LATIN") for char in outside_gsm(text))


def _replies_left_out(content: Content) -> Iterator[str]:
    count = sum(button.type == "quick_reply" for button in content.buttons)
    if count:
        yield f"{count} quick replies are not shown here."


def _is_foreign(template: CompiledTemplate, content: Content, pointer: str) -> bool:
    """Whether a language has words of its own, but not these."""
    own = content.texts["body"].pointer.startswith("/core_schema/i18n/")
    return own and not pointer.startswith("/core_schema/i18n/")
