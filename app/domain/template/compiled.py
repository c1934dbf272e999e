"""Compilation of a core schema, and its rendering per channel and language."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app.domain.pointers import Problems
from app.domain.status import Channel, MessageType
from app.domain.template.as_email import render_email
from app.domain.template.as_sms import render_sms
from app.domain.template.as_whatsapp import render_session, render_template
from app.domain.template.content import Button, Content, Media, Sms, WhatsAppTemplate
from app.domain.template.liquid import Text, parse_text
from app.domain.template.mjml import Layout, parse_layout
from app.domain.template.schema import parse_core_schema
from app.domain.template.sources import Source, Version
from app.domain.template.variables import MissingVariable, Variable, is_absent, missing, problems
from app.errors import FieldError


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """`content` has the shapes of OutboundMessage.content. `lang` is the language that was found, `template_name` the
    approved WhatsApp template or empty.

    Whether its links become short ones, in an SMS and in an e-mail; None: nobody said."""

    type: MessageType
    template_name: str
    lang: str
    content: dict[str, Any]
    short_links: bool | None = None
    track_links: bool | None = None


class CompiledTemplate:
    """Parsed once, rendered per contact. The caller keeps it; `lang` names the language of the default blocks.

    `names` are the variables that some text of it reads."""

    def __init__(
        self, variables: Sequence[Variable], default: Content, i18n: Mapping[str, Content], names: frozenset[str]
    ) -> None:
        self.variables, self.names = tuple(variables), names
        self.languages = tuple(content.lang for content in (default, *i18n.values()) if content.lang)
        self._default = default
        self._by_lang = dict.fromkeys(_keys(default.lang), default)
        self._by_lang.update((_key(lang), content) for lang, content in i18n.items())
        self._required = tuple(v.name for v in variables if v.required and is_absent(v.default))
        self._defaults = {v.name: v.default for v in variables if v.default is not None}

    def render(
        self,
        channel: Channel,
        languages: tuple[str, ...],
        context: Mapping[str, Any],
        *,
        media: bool = True,
        unsubscribe: bool = True,
    ) -> Rendered:
        """One message in the first of `languages` that the template has. `context` is
        `{"contact": {…}, "tenant": {"name"}, "unsubscribe_url", **variables}`.

        With `media` the provider of the SMS takes pictures and files. With `unsubscribe` an e-mail shows
        `unsubscribe_url` whether or not the template does.

        Raises MissingVariable for a required variable without value and for an empty WhatsApp parameter, and
        InvalidInput when the text cannot be rendered.
        """
        for name in self._required:
            if is_absent(context.get(name)):
                raise MissingVariable(name, missing(name))
        values = context
        if self._defaults:
            absent = {name: value for name, value in self._defaults.items() if is_absent(context.get(name))}
            values = {**context, **absent}
        content = self.content(languages)
        kind, name = MessageType.TEXT, ""
        if channel is Channel.EMAIL:
            payload = render_email(content, values, unsubscribe=unsubscribe)
        elif channel is Channel.SMS:
            payload = render_sms(content, values, media=media)
            kind = MessageType.MEDIA if "media_urls" in payload else MessageType.TEXT
        elif content.whatsapp is not None:
            payload, name = render_template(content.whatsapp, values), content.whatsapp.name
            kind = MessageType.TEMPLATE
        else:
            kind, payload = render_session(content, values)
        return Rendered(
            type=kind,
            template_name=name,
            lang=content.lang,
            content=payload,
            short_links=content.sms.short_links,
            track_links=content.track_links,
        )

    def problems(self, variables: Mapping[str, Any]) -> list[FieldError]:
        """What a launch or a send must mend in its `variables`; empty when nothing."""
        return problems(self.variables, variables)

    def whatsapp_template(self, languages: tuple[str, ...]) -> tuple[str, str] | None:
        """Name and language of the approved template that is sent to a reader of these languages."""
        template = self.content(languages).whatsapp
        return (template.name, template.language) if template is not None else None

    def has_whatsapp_template(self, languages: tuple[str, ...]) -> bool:
        return self.content(languages).whatsapp is not None

    def content(self, languages: tuple[str, ...]) -> Content:
        """For each language in turn `pt_PT`, then `pt`; in the end the default blocks. Who reads the default blocks'
        language gets them, in whatever region."""
        for lang in languages:
            for key in _keys(lang):
                if key in self._by_lang:
                    return self._by_lang[key]
        return self._default


def compile_template(core_schema: Any, *, lang: str = "") -> CompiledTemplate:
    """Check and parse everything once. Raises InvalidInput that names each mistake by its pointer."""
    found = Problems()
    schema = parse_core_schema(core_schema, found)
    if schema is None:
        found.raise_any()
        raise AssertionError("a schema that cannot be read has a reason")
    compiler = _Compiler(frozenset(variable.name for variable in schema.variables), found)
    default = compiler.version(schema.default, lang)
    i18n = {name: compiler.version(version, name) for name, version in schema.i18n.items()}
    found.raise_any()
    names = {name for text in compiler.parsed.values() for name in text.names}
    names.update(name for layout in compiler.layouts.values() if layout is not None for name in layout.names)
    return CompiledTemplate(schema.variables, default, i18n, frozenset(names))


def compile_stored(core_schema: Any, *, lang: str = "") -> CompiledTemplate:
    """The same for a schema that was checked when it was stored; single sends of one template compile it once."""
    return _compiled(json.dumps(core_schema), lang)


@lru_cache(maxsize=128)
def _compiled(core_schema: str, lang: str) -> CompiledTemplate:
    return compile_template(json.loads(core_schema), lang=lang)


class _Compiler:
    """Parses each source once, also when several languages share it."""

    def __init__(self, declared: frozenset[str], found: Problems) -> None:
        self.declared, self.found = declared, found
        self.parsed: dict[str, Text] = {}
        self.layouts: dict[str, Layout | None] = {}

    def text(self, source: Source) -> Text:
        if source.pointer not in self.parsed:
            self.parsed[source.pointer] = parse_text(source.text, source.pointer, self.declared, self.found)
        return self.parsed[source.pointer]

    def optional(self, source: Source | None) -> Text | None:
        return self.text(source) if source is not None else None

    def version(self, version: Version, lang: str) -> Content:
        texts = {name: self.text(source) for name, source in version.texts.items() if source.text.strip()}
        buttons = tuple(
            Button(type=button.type, text=self.text(button.text), value=self.optional(button.value))
            for button in version.buttons
        )
        media, sms = version.media, version.sms
        return Content(
            lang=lang,
            texts=texts,
            buttons=buttons,
            media=Media(type=media.type, url=self.text(media.url), filename=self.optional(media.filename))
            if media is not None
            else None,
            sms=Sms(
                body=self.optional(sms.body),
                transliterate=sms.transliterate,
                short_links=sms.short_links,
                media=sms.media,
            ),
            track_links=version.email.track_links,
            layout=self._layout(version.email.mjml),
            whatsapp=self._whatsapp(version),
        )

    def _layout(self, source: Source | None) -> Layout | None:
        if source is None:
            return None
        if source.pointer not in self.layouts:
            self.layouts[source.pointer] = parse_layout(source.text, source.pointer, self.declared, self.found)
        return self.layouts[source.pointer]

    def _whatsapp(self, version: Version) -> WhatsAppTemplate | None:
        source = version.whatsapp
        if source is None:
            return None
        return WhatsAppTemplate(
            name=source.name,
            language=source.language,
            header=self.optional(source.header),
            header_media=source.header_media,
            header_filename=source.header_filename,
            body=tuple(self.text(item) for item in source.body),
            body_names=source.body_names,
            buttons=tuple((button.type, button.index, self.text(button.value)) for button in source.buttons),
        )


def _key(lang: str) -> str:
    return lang.strip().replace("-", "_").lower()


def _keys(lang: str) -> Iterator[str]:
    """`pt_pt`, then `pt`."""
    key = _key(lang)
    while key:
        yield key
        key = key.rpartition("_")[0]
