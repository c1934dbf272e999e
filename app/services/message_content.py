"""What a single message may carry beside a template: checked whole before anything is written."""

from typing import Any

from app.domain import interactive
from app.domain.links import is_web_address
from app.domain.pointers import Problems
from app.domain.sms import segments
from app.domain.status import Channel, MessageType
from app.domain.template.as_sms import MAX_SEGMENTS
from app.schemas.messages import MessageSend

# what may be sent as `content`, by channel
RICH = {
    Channel.WHATSAPP: frozenset({MessageType.MEDIA, MessageType.AUDIO, MessageType.LOCATION}),
    Channel.SMS: frozenset({MessageType.MEDIA}),
    Channel.EMAIL: frozenset[MessageType](),
}
SHAPES: dict[tuple[Channel, MessageType], tuple[frozenset[str], frozenset[str]]] = {
    (Channel.WHATSAPP, MessageType.MEDIA): (frozenset({"kind"}), frozenset({"link", "id", "caption", "filename"})),
    (Channel.WHATSAPP, MessageType.AUDIO): (frozenset(), frozenset({"kind", "link", "id"})),
    (Channel.WHATSAPP, MessageType.LOCATION): (frozenset({"latitude", "longitude"}), frozenset({"name", "address"})),
    (Channel.SMS, MessageType.MEDIA): (frozenset({"media_urls"}), frozenset({"body"})),
}
MEDIA, AUDIO = ("image", "video", "document", "sticker", "audio"), ("audio",)
LONGEST_CAPTION = 1_024  # by Meta
LONGEST_TEXT = 4_096  # by Meta
MOST_MEDIA_URLS = 10  # by Twilio


def check_content(wanted: MessageSend) -> None:
    """Raises InvalidInput that names each mistake of the content, and of what falls back from it."""
    problems = Problems()
    seen = {wanted.channel}
    for n, channel in enumerate(wanted.fallback_order):
        if channel in seen:
            problems.add(f"/fallback_order/{n}", f"{channel} is there already; each channel is tried once.")
        seen.add(channel)
    if wanted.fallback_after_minutes is not None and not wanted.fallback_order:
        problems.add("/fallback_after_minutes", "There is nothing to fall back to: give a fallback_order.")
    if wanted.subject is not None and wanted.type is not MessageType.TEXT:
        problems.add("/subject", "A subject goes with text only; a template has its own.")
    if wanted.text is not None:
        _check_text(wanted, wanted.text, problems)
    if wanted.short_links and wanted.template_name is not None:
        problems.add("/short_links", "A template says it itself, with sms.short_links.")
    if wanted.content is not None and wanted.text is not None:
        _check_interactive(wanted, wanted.content, wanted.text, problems)
    elif wanted.content is not None:
        for channel in [wanted.channel, *wanted.fallback_order]:
            if wanted.type not in RICH[channel]:
                problems.add("/type", f"{channel} can't send {wanted.type}.")
        _check_shape(wanted, wanted.content, problems)
    problems.raise_any()


def _check_text(wanted: MessageSend, words: str, problems: Problems) -> None:
    """Empty for people, or longer than one of its channels takes."""
    channels = [wanted.channel, *wanted.fallback_order]
    if not words.strip():
        problems.add("/text", "The text must not be empty.")
    if Channel.WHATSAPP in channels and len(words) > LONGEST_TEXT and wanted.content is None:
        problems.add("/text", f"WhatsApp takes at most {LONGEST_TEXT:,} characters, and the text has {len(words):,}.")
    if Channel.SMS in channels and not wanted.short_links and (number := segments(words).segments) > MAX_SEGMENTS:
        problems.add("/text", f"The SMS takes {number} segments; at most {MAX_SEGMENTS} are allowed.")


def _check_interactive(wanted: MessageSend, content: dict[str, Any], words: str, problems: Problems) -> None:
    asked = [
        (wanted.channel, "/content"),
        *((it, f"/fallback_order/{n}") for n, it in enumerate(wanted.fallback_order)),
    ]
    for channel, pointer in asked:
        if channel is not Channel.WHATSAPP:
            problems.add(pointer, f"{channel} has nothing that can be pressed; only WhatsApp takes content with text.")
    if wanted.channel is Channel.WHATSAPP:
        problems.errors.extend(interactive.problems_of(content, words))


def _check_shape(wanted: MessageSend, content: dict[str, Any], problems: Problems) -> None:
    required, optional = SHAPES.get((wanted.channel, wanted.type), (frozenset[str](), frozenset[str]()))
    for name in sorted(required - content.keys()):
        problems.add(f"/content/{name}", f"{name} is required.")
    problems.unknown_keys(content, tuple(sorted(required | optional)), "/content")
    for name in sorted({"latitude", "longitude"} & content.keys()):
        if isinstance(content[name], bool) or not isinstance(content[name], int | float):
            problems.add(f"/content/{name}", f"{name} must be a number.")
    _check_media_urls(content, problems)
    for name in sorted(content.keys() - {"latitude", "longitude", "media_urls"} & (required | optional)):
        if not isinstance(content[name], str):
            problems.add(f"/content/{name}", f"{name} must be text.")
    if wanted.channel is Channel.WHATSAPP and wanted.type is MessageType.LOCATION:
        _check_place(content, problems)
    elif wanted.channel is Channel.WHATSAPP:
        _check_media(wanted.type, content, problems)


def _check_media_urls(content: dict[str, Any], problems: Problems) -> None:
    links = content.get("media_urls")
    if links is None:
        return
    if not (isinstance(links, list) and links and all(isinstance(link, str) for link in links)):
        problems.add("/content/media_urls", "media_urls must be a list of links.")
        return
    if len(links) > MOST_MEDIA_URLS:
        problems.add("/content/media_urls", f"A message has at most {MOST_MEDIA_URLS} files, not {len(links)}.")
    for n, link in enumerate(links):
        if not is_web_address(link):
            problems.add(f"/content/media_urls/{n}", f"{link!r} is not an http or https address.")


def _check_place(content: dict[str, Any], problems: Problems) -> None:
    for name, most in (("latitude", 90), ("longitude", 180)):
        value = content.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and not -most <= value <= most:
            problems.add(f"/content/{name}", f"{name} must be between -{most} and {most}.")


def _check_media(type: MessageType, content: dict[str, Any], problems: Problems) -> None:
    """As WhatsApp shows it: a caption beside pictures, films and documents, a file name on documents."""
    kind = content.get("kind", "audio") if type is MessageType.AUDIO else content.get("kind")
    kinds = AUDIO if type is MessageType.AUDIO else MEDIA
    if isinstance(kind, str) and kind not in kinds:
        problems.add("/content/kind", f"kind must be one of {', '.join(kinds)}, not {kind!r}.")
    if ("link" in content) == ("id" in content):
        problems.add("/content/link", "Give either link or id.")
    elif isinstance(link := content.get("link"), str) and not is_web_address(link):
        problems.add("/content/link", f"{link!r} is not an http or https address.")
    if kind in ("sticker", "audio") and "caption" in content:
        problems.add("/content/caption", f"WhatsApp shows no caption with media of kind {kind}.")
    elif isinstance(caption := content.get("caption"), str) and len(caption) > LONGEST_CAPTION:
        problems.add("/content/caption", f"A caption has at most {LONGEST_CAPTION:,} characters, not {len(caption):,}.")
    if kind in kinds and kind != "document" and "filename" in content:
        problems.add("/content/filename", "Only a document has a file name.")
