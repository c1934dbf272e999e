"""What a core schema is made of before compilation: each text with the place where it stands."""

from dataclasses import dataclass, field
from typing import Any

from app.domain.pointers import Problems
from app.domain.template.variables import Variable


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Liquid source and where it stands in the schema."""

    text: str
    pointer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ButtonSource:
    """`value` is the address, the number, or what a quick reply sends back beside its text, if it says so."""

    type: str
    text: Source
    value: Source | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaSource:
    type: str  # image, video or document
    url: Source
    filename: Source | None = None  # of a document


@dataclass(frozen=True, kw_only=True, slots=True)
class SmsSource:
    """How the SMS differs from the other channels' text."""

    body: Source | None = None
    transliterate: bool = False
    short_links: bool | None = None
    media: str = "attach"


@dataclass(frozen=True, kw_only=True, slots=True)
class EmailSource:
    """How the e-mail looks, and whether Relay counts its clicks."""

    mjml: Source | None = None
    track_links: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateButtonSource:
    type: str
    index: int
    value: Source


@dataclass(frozen=True, kw_only=True, slots=True)
class WhatsAppSource:
    """A template approved by Meta: only the values of its placeholders are ours."""

    name: str
    language: str
    header: Source | None = None
    header_media: str = ""  # image, video or document; empty means text
    header_filename: str = ""
    body: tuple[Source, ...] = ()
    body_names: tuple[str, ...] = ()  # for a template with named placeholders
    buttons: tuple[TemplateButtonSource, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """The content in one language, before compilation."""

    texts: dict[str, Source]
    buttons: tuple[ButtonSource, ...] = ()
    media: MediaSource | None = None
    sms: SmsSource = field(default_factory=SmsSource)
    email: EmailSource = field(default_factory=EmailSource)
    whatsapp: WhatsAppSource | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreSchema:
    variables: tuple[Variable, ...]
    default: Version
    i18n: dict[str, Version]  # whole, with what the default version gives them


def as_object(value: Any, pointer: str, problems: Problems) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if value is not None:
        problems.add(pointer, "This must be an object.")
    return {}


def as_list(value: Any, pointer: str, problems: Problems, *, most: int) -> list[Any]:
    if isinstance(value, list):
        if len(value) > most:
            problems.add(pointer, f"There are {len(value)}; at most {most} are allowed.")
        return value
    if value is not None:
        problems.add(pointer, "This must be a list.")
    return []


def as_source(value: Any, pointer: str, problems: Problems) -> Source:
    if not isinstance(value, str) or not value.strip():
        problems.add(pointer, "This must be text, and not empty.")
    return Source(text=value if isinstance(value, str) else "", pointer=pointer)


def one_of(value: Any, allowed: tuple[str, ...], pointer: str, what: str, problems: Problems) -> str | None:
    """The word, or None after a problem was added."""
    if isinstance(value, str) and value in allowed:
        return value
    problems.add(pointer, f"{what} must be one of {', '.join(allowed)}.")
    return None


def as_flag(value: Any, pointer: str, problems: Problems) -> bool:
    if not isinstance(value, bool):
        problems.add(pointer, "This must be true or false.")
    return value is True
