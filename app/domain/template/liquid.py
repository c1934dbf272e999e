"""Liquid, sandboxed: no includes, bounded loops, output and filter arguments, and only names that exist."""

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TextIO

from liquid import BoundTemplate, Environment
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.echo_tag import EchoTag
from liquid.context import RenderContext
from liquid.exceptions import FilterArgumentError, LiquidError, LiquidTypeError
from liquid.undefined import Undefined

from app.domain.pointers import Problems
from app.errors import InvalidInput

CONTACT_FIELDS = ("first_name", "last_name", "phone", "email", "lang", "timezone", "country", "attributes", "tags")
TENANT_FIELDS = ("name",)
BLOCK_FIELDS = ("subject", "preheader", "header", "body", "footer", "buttons", "media", "lang", "dir")  # in MJML only
FIELDS = {"contact": CONTACT_FIELDS, "tenant": TENANT_FIELDS, "blocks": BLOCK_FIELDS}
ALWAYS_THERE = ("contact", "tenant", "unsubscribe_url")
FORBIDDEN_TAGS = ("include", "render", "tablerow")  # there is nothing to include, and no HTML in text
FORBIDDEN_FILTERS = ("safe", "escapejs")  # for HTML that somebody else made safe, and for scripts
# filters whose arguments are text; the library would write Python's None, True and ['a'] into it
OF_TEXT = frozenset(
    "append base64_decode base64_encode base64_url_safe_decode base64_url_safe_encode capitalize downcase escape"
    " escape_once lstrip newline_to_br prepend remove remove_first remove_last replace replace_first"
    " replace_last rstrip split squish strip strip_html strip_newlines truncate truncatewords upcase url_decode"
    " url_encode".split()
)
MAX_SOURCE = 32_768  # characters of one block
MAX_EXPRESSION = 2_000  # characters between {{ and }}, or {% and %}
MAX_ARGUMENT = 5_000  # characters or items: two of them multiplied (replace, join) still fit in memory
MAX_BITS = 256  # of an integer
MAX_PLAIN = 1_000  # characters of a value that is filled in without the interpreter, which watches over the output
LITERALS = frozenset({"true", "false", "nil", "null", "empty", "blank"})
NEW_LINE = "\n"
OPENING = re.compile(r"\{\{|\{%")
RAW, END_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}"), re.compile(r"\{%-?\s*endraw\s*-?%\}")
PLAIN_NAME = re.compile(r"\{\{[ ]*([a-zA-Z_][a-zA-Z0-9_]*(?:\.[a-zA-Z_][a-zA-Z0-9_]*)*)[ ]*\}\}")
# what filters of the library raise on arguments they did not expect, beside LiquidError
FILTER_ERRORS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError, OSError)


class Sandbox(Environment):
    """For text: what is written into it is written as a person would."""

    context_depth_limit = 20
    block_nesting_limit = 20
    loop_iteration_limit = 1_000
    local_namespace_limit = 65_536
    output_stream_limit = 131_072

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for tag in FORBIDDEN_TAGS:
            del self.tags[tag]
        for name in FORBIDDEN_FILTERS:
            del self.filters[name]
        self.add_tag(TextOutput)
        self.add_tag(TextEcho)
        self.filters = {name: _bounded(name, function) for name, function in self.filters.items()}


class TextNode(OutputNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return buffer.write(words(self.expression.evaluate(context)))


class TextOutput(Output):
    node_class = TextNode


class TextEcho(EchoTag):
    node_class = TextNode  # type: ignore[assignment]


def words(value: Any) -> str:
    """A value as text. Raises LiquidTypeError for an object, of which only the fields can be shown."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, Undefined):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "".join(map(words, value))
    if isinstance(value, range):
        return f"{value.start}..{value.stop - 1}"
    if isinstance(value, Mapping):
        raise LiquidTypeError("an object cannot be shown; name one of its fields", token=None)
    return str(value)


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    of_text, joins = name in OF_TEXT, name == "join"

    @wraps(function)  # also copies the marks by which the library passes in its environment
    def bounded(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            if isinstance(value, int):
                if value.bit_length() > MAX_BITS:
                    raise FilterArgumentError("the number is too large", token=None)
            elif isinstance(value, str | list | tuple | range) and _length(value) > MAX_ARGUMENT:
                raise FilterArgumentError(f"the value is longer than {MAX_ARGUMENT}", token=None)
        if of_text:
            args = tuple(
                arg if isinstance(arg, str | int | float) and not isinstance(arg, bool) else words(arg) for arg in args
            )
        elif joins and args and not isinstance(args[0], range):
            items = args[0] if isinstance(args[0], list | tuple) else [args[0]]
            args = ([words(item) for item in items], *args[1:])
        return function(*args, **kwargs)

    return bounded


def _length(value: str | list[Any] | tuple[Any, ...] | range) -> int:
    if isinstance(value, range):
        return max(0, value.stop - value.start)  # len() overflows on huge ranges
    return len(value)


SANDBOX = Sandbox()


class Text:
    """One parsed block. `names` are the variables it reads, with their paths (`contact.first_name`)."""

    __slots__ = ("_constant", "_plain", "_template", "names", "pointer", "source")

    def __init__(self, source: str, pointer: str, template: BoundTemplate | None, names: tuple[str, ...]) -> None:
        self.source, self.pointer, self.names = source, pointer, names
        self._template = template
        self._constant = source if template is None else ""
        self._plain = _plain(source) if template is not None else None

    def render(self, context: Mapping[str, Any]) -> str:
        """Raises InvalidInput when a filter refuses its values or a limit is reached."""
        if self._template is None:
            return self._constant
        if self._plain is not None and (text := _filled(self._plain, context)) is not None:
            return text
        try:
            return self._template.render(context)
        except LiquidError as error:
            detail = f"The template cannot be rendered: {error.message}."
        except FILTER_ERRORS as error:
            detail = f"The template cannot be rendered: {error}."
        raise InvalidInput.at(self.pointer, detail)


def _plain(source: str) -> tuple[str | tuple[str, ...], ...] | None:
    """Text and paths by turns, when the source has nothing but text and plain names; else None."""
    pieces = PLAIN_NAME.split(source)
    if any(mark in text for text in pieces[::2] for mark in ("{{", "{%", "}}", "%}")):
        return None
    paths = [tuple(name.split(".")) for name in pieces[1::2]]
    if any(path[0] in LITERALS for path in paths):
        return None
    return tuple(paths[place // 2] if place % 2 else piece for place, piece in enumerate(pieces))


def _filled(plain: tuple[str | tuple[str, ...], ...], context: Mapping[str, Any]) -> str | None:
    """What the interpreter would make of it, in a tenth of the time; None where a name is no text, which is for it."""
    parts: list[str] = []
    for piece in plain:
        if isinstance(piece, str):
            parts.append(piece)
            continue
        value: Any = context
        for name in piece:
            value = value.get(name) if isinstance(value, dict) else None
        if type(value) is not str or len(value) > MAX_PLAIN:
            return None
        parts.append(value)
    return "".join(parts)


def parse_text(
    source: str, pointer: str, declared: frozenset[str], problems: Problems, *, most: int = MAX_SOURCE
) -> Text:
    """Parse once; every mistake is added to `problems`: syntax, unknown filters, names that will never be there."""
    source = one_newline(source)
    empty = Text(source, pointer, None, ())
    if len(source) > most:
        problems.add(pointer, f"The text has {len(source):,} characters; it must not be longer than {most:,}.")
        return empty
    if "{{" not in source and "{%" not in source:
        return empty
    if (mistake := _unreadable(source)) is not None:
        problems.add(pointer, f"Liquid: {mistake}.")
        return empty
    try:
        template = SANDBOX.from_string(source)
        analysis = template.analyze(include_partials=False)
    except LiquidError as error:
        problems.add(pointer, f"Liquid: {_where(error)}.")
        return empty
    for name in analysis.filters:
        if name not in SANDBOX.filters:
            problems.add(pointer, f"Liquid: unknown filter {name!r}.")
    for name, variables in analysis.globals.items():
        if name not in declared and name not in ALWAYS_THERE:
            known = ", ".join([*sorted(declared - {"blocks"}), "contact.*", "tenant.name", "unsubscribe_url"])
            problems.add(pointer, f"Liquid: the variable {name!r} is not declared; known are {known}.")
        for variable in variables:
            _check_field(name, variable.segments, pointer, problems)
    names = tuple(dict.fromkeys(str(variable) for found in analysis.globals.values() for variable in found))
    return Text(source, pointer, template, names)


def _unreadable(source: str) -> str | None:
    """What the library's lexer would take very long to find out: its time grows with the square of these."""
    at = 0
    while opening := OPENING.search(source, at):
        mark = opening[0]
        end = source.find("}}" if mark == "{{" else "%}", opening.end())
        if end < 0:
            return f"expected '{'}}' if mark == '{{' else '%}'}', found end of file ({_place(source, opening.start())})"
        if end - opening.end() > MAX_EXPRESSION:
            return (
                f"an expression is over the limit of {MAX_EXPRESSION:,} characters ({_place(source, opening.start())})"
            )
        at = end + 2
        if mark == "{%" and RAW.match(source, opening.start()):
            closing = END_RAW.search(source, at)
            if closing is None:
                return f"expected tag endraw, found end of file ({_place(source, opening.start())})"
            at = closing.end()
    return None


def _place(source: str, at: int) -> str:
    before = source[:at]
    return f"line {before.count(NEW_LINE) + 1}, column {at - (before.rfind(NEW_LINE) + 1) + 1}"


def _check_field(name: str, segments: list[Any], pointer: str, problems: Problems) -> None:
    fields = FIELDS.get(name)
    if fields is None:
        return
    if len(segments) == 1:
        problems.add(pointer, f"Liquid: name a field of {name}; it has {', '.join(fields)}.")
    elif isinstance(segments[1], str) and segments[1] not in fields:
        problems.add(pointer, f"Liquid: {name} has no {segments[1]!r}; it has {', '.join(fields)}.")


def one_newline(text: str) -> str:
    """Line feeds alone: \\r is a character of its own in an SMS, and two line ends in an e-mail."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _where(error: LiquidError) -> str:
    place = error.context()
    message = str(error.message or error).rstrip(".")
    return f"{message} (line {place[0]}, column {place[1] + 1})" if place else message
