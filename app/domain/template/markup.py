"""Liquid inside HTML: every value is escaped, and one that becomes an address is checked."""

import re
from collections.abc import Iterable
from html import escape, unescape
from typing import TextIO

from liquid.ast import BlockNode, Node
from liquid.builtin.output import Output, OutputNode
from liquid.context import RenderContext
from liquid.exceptions import LiquidValueError
from liquid.parser import get_parser
from liquid.stream import TokenStream
from liquid.tag import Tag
from liquid.token import TOKEN_EOF, TOKEN_TAG, Token

from app.domain.template.liquid import Sandbox, words

LINK = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
CALL = re.compile(r"(?:mailto|tel|sms):[^\s<>\"]+", re.IGNORECASE)
LINE_BREAK = "<br/>"
# all that a layout needs; the others write text of their own or hide what the checks have to see
TAGS = frozenset("if elsif else endif unless endunless case when endcase for endfor break continue assign".split())
DONE_ANYWAY = ("escape", "escape_once", "newline_to_br")  # done twice they would show
ATTRIBUTE, END_ATTRIBUTE = "relay_attribute", "endrelay_attribute"  # only the compiler writes it
OUTPUT_LIMIT = 4_000_000  # bytes; what is over the size of an e-mail is refused afterwards, with its size


class MarkupNode(OutputNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return buffer.write(as_html(words(self.expression.evaluate(context))))


class MarkupOutput(Output):
    node_class = MarkupNode


class AttributeNode(Node):
    """The value of one attribute that holds Liquid."""

    __slots__ = ("attribute", "block")

    def __init__(self, token: Token, attribute: str, block: BlockNode) -> None:
        super().__init__(token)
        self.attribute, self.block = attribute, block

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        inner = context.get_buffer(buffer)
        self.block.render(context, inner)
        value = unescape(inner.getvalue().replace(LINE_BREAK, " ")).strip()
        if self.attribute == "src" and not LINK.fullmatch(value):
            raise LiquidValueError(f"{value[:200]!r} is not an http or https address", token=self.token)
        if self.attribute == "href" and not is_link(value):
            raise LiquidValueError(f"{value[:200]!r} is not an address that a link may have", token=self.token)
        return buffer.write(escape(value))

    def children(self, static_context: RenderContext, *, include_partials: bool = True) -> Iterable[Node]:
        yield self.block


class AttributeTag(Tag):
    name, end, block = ATTRIBUTE, END_ATTRIBUTE, True

    def parse(self, stream: TokenStream) -> Node:
        token = stream.eat(TOKEN_TAG)
        attribute = stream.into_inner(tag=token).current.value
        block = get_parser(self.env).parse_block(stream, frozenset((END_ATTRIBUTE, TOKEN_EOF)))
        stream.expect(TOKEN_TAG, value=END_ATTRIBUTE)
        return AttributeNode(token, attribute, block)


def _as_it_is(value: object) -> object:
    return value


class MarkupSandbox(Sandbox):
    output_stream_limit = OUTPUT_LIMIT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        self.add_tag(MarkupOutput)
        self.add_tag(AttributeTag)
        del self.tags["echo"]
        self.filters.update(dict.fromkeys(DONE_ANYWAY, _as_it_is))


MARKUP = MarkupSandbox()


def as_html(text: str) -> str:
    """The text as HTML that shows it, with its line breaks."""
    return escape(text).replace("\n", LINE_BREAK)


def is_link(value: str) -> bool:
    """Whether a link may lead there: the web, a mail, a call."""
    return LINK.fullmatch(value) is not None or CALL.fullmatch(value) is not None
