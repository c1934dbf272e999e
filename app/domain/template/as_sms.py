"""A template as SMS."""

from collections.abc import Mapping
from typing import Any

from app.domain.sms import segments, to_gsm
from app.domain.template import content as parts
from app.domain.template.content import Content
from app.errors import InvalidInput

MAX_SEGMENTS = 10
SURELY_FITS = MAX_SEGMENTS * 33  # characters: so many fit even if each takes two units


def render_sms(content: Content, context: Mapping[str, Any], *, media: bool) -> dict[str, Any]:
    """Body with the addresses of the buttons, or the body written for SMS alone. With `media` the provider takes
    pictures and files; else, and where the template says so, their address is in the text.

    Raises InvalidInput when it is longer than MAX_SEGMENTS.
    """
    own = content.sms.body
    if own is not None:
        source, text = own, parts.filled(own, context, "The text of the SMS")
    else:
        source = content.texts["body"]
        text = parts.body(content, context)
        if links := parts.lines_of(parts.links(content, context)):
            text = f"{text}\n{links}"
    attached = parts.attached(content, context) if content.sms.media != "none" else None
    attaches = media and content.sms.media == "attach"
    if attached is not None and not attaches and own is None:
        text = f"{text}\n{attached.url}"
    if content.sms.transliterate:
        text = to_gsm(text)
    if not text:
        raise InvalidInput.at(source.pointer, "Nothing is left of the text in the letters of GSM.")
    if len(text) > SURELY_FITS and (count := segments(text)).segments > MAX_SEGMENTS:
        detail = (
            f"The SMS takes {count.segments} segments ({count.units:,} units of {count.encoding.value}); "
            f"at most {MAX_SEGMENTS} are allowed."
        )
        raise InvalidInput.at(source.pointer, detail)
    if attached is not None and attaches:
        return {"body": text, "media_urls": [attached.url]}
    return {"body": text}
