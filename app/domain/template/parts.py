"""The parts of a core schema beside its texts: buttons, media, and what is said for SMS and e-mail alone."""

from dataclasses import replace
from typing import Any

from app.domain.pointers import Problems, child
from app.domain.template.sources import (
    ButtonSource,
    EmailSource,
    MediaSource,
    SmsSource,
    as_flag,
    as_object,
    as_source,
    one_of,
)

# the type of a button, and the key of its value
BUTTON_VALUES = {"url": "url", "phone": "phone", "quick_reply": "payload"}
MEDIA_TYPES = ("image", "video", "document")
EMAIL_KEYS = ("mjml", "track_links")
SMS_KEYS = ("body", "transliterate", "short_links", "media")
SMS_MEDIA = ("attach", "link", "none")


def parse_button(value: Any, pointer: str, problems: Problems) -> ButtonSource | None:
    if value is None:
        problems.add(pointer, "This must be an object.")
    item = as_object(value, pointer, problems)
    type_ = one_of(
        item.get("type", "url"), tuple(BUTTON_VALUES), child(pointer, "type"), "The type of a button", problems
    )
    if type_ is None:
        return None
    key = BUTTON_VALUES[type_]
    problems.unknown_keys(item, ("type", "text", key), pointer)
    text = as_source(item.get("text"), child(pointer, "text"), problems)
    if type_ == "quick_reply" and item.get("payload") is None:
        return ButtonSource(type=type_, text=text)
    return ButtonSource(type=type_, text=text, value=as_source(item.get(key), child(pointer, key), problems))


def parse_media(value: Any, pointer: str, problems: Problems) -> MediaSource | None:
    if value is None:
        return None
    item = as_object(value, pointer, problems)
    problems.unknown_keys(item, ("type", "url", "filename"), pointer)
    type_ = one_of(item.get("type"), MEDIA_TYPES, child(pointer, "type"), "The type of the media", problems)
    filename = None
    if item.get("filename") is not None:
        filename = as_source(item["filename"], child(pointer, "filename"), problems)
        if type_ != "document":
            problems.add(child(pointer, "filename"), "Only a document has a file name.")
    return MediaSource(
        type=type_ or "image", url=as_source(item.get("url"), child(pointer, "url"), problems), filename=filename
    )


def parse_sms(value: Any, default: SmsSource, pointer: str, problems: Problems) -> SmsSource:
    """`default` with what is said here."""
    item = as_object(value, pointer, problems)
    problems.unknown_keys(item, SMS_KEYS, pointer)
    sms = default
    if item.get("body") is not None:
        sms = replace(sms, body=as_source(item["body"], child(pointer, "body"), problems))
    if item.get("transliterate") is not None:
        sms = replace(sms, transliterate=as_flag(item["transliterate"], child(pointer, "transliterate"), problems))
    if item.get("short_links") is not None:
        sms = replace(sms, short_links=as_flag(item["short_links"], child(pointer, "short_links"), problems))
    if item.get("media") is not None:
        media = one_of(item["media"], SMS_MEDIA, child(pointer, "media"), "media", problems)
        sms = replace(sms, media=media or sms.media)
    return sms


def parse_email(value: Any, default: EmailSource, pointer: str, problems: Problems) -> EmailSource:
    """`default` with what is said here."""
    item = as_object(value, pointer, problems)
    problems.unknown_keys(item, EMAIL_KEYS, pointer)
    email = default
    if item.get("mjml") is not None:
        email = replace(email, mjml=as_source(item["mjml"], child(pointer, "mjml"), problems))
    if item.get("track_links") is not None:
        email = replace(email, track_links=as_flag(item["track_links"], child(pointer, "track_links"), problems))
    return email
