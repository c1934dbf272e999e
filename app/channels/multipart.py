"""Bodies of `multipart/form-data` (RFC 7578), as forms with files are posted. Nothing here trusts the body's shape."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.channels.base import WebhookRequest
from app.errors import Malformed

CONTENT_TYPE = "multipart/form-data"
MOST_PARTS = 1_000
MOST_HEADER_BYTES = 4_096  # of one part
BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
# one at a time, each where the last one ended: an unclosed quotation mark must not be looked for again and again
PARAMETER = re.compile(r'\s*;\s*([\w*\-]+)=(?:"((?:[^"\\]|\\.)*)"|([^";\s]*+)(?!"))', re.ASCII)
ESCAPED = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form; with a `filename` it is a file."""

    name: str
    content: bytes
    filename: str | None
    content_type: str


def is_multipart(request: WebhookRequest) -> bool:
    given = request.headers.get("content-type", "")
    return given.partition(";")[0].strip().lower() == CONTENT_TYPE


def read_parts(request: WebhookRequest) -> list[Part]:
    """The fields and files in their order. Raises Malformed."""
    _, parameters = _header(request.headers.get("content-type", ""))
    boundary = parameters.get("boundary", "")
    if not BOUNDARY.fullmatch(boundary):
        raise Malformed("The content type has no usable boundary.")
    # the line break before a boundary belongs to it; the first boundary may stand at the very beginning
    sections = (b"\r\n" + request.body).split(b"\r\n--" + boundary.encode(), MOST_PARTS + 1)
    if len(sections) < 2 or not sections[-1].startswith(b"--"):
        raise Malformed(f"The multipart body has no end, or more than {MOST_PARTS} parts.")
    return [_part(index, section) for index, section in enumerate(sections[1:-1])]


def _part(index: int, section: bytes) -> Part:
    head, _, content = section.partition(b"\r\n\r\n")
    headers = dict(_headers(head[:MOST_HEADER_BYTES]))
    _, parameters = _header(headers.get("content-disposition", ""))
    if not parameters.get("name"):
        raise Malformed(f"Part {index} of the multipart body has no name.")
    kind, _ = _header(headers.get("content-type", ""))
    return Part(parameters["name"], content, parameters.get("filename"), kind.lower())


def _headers(head: bytes) -> Iterator[tuple[str, str]]:
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        yield name.strip().lower(), value.strip()


def _header(value: str) -> tuple[str, Mapping[str, str]]:
    """Its first word, and its parameters by name."""
    first, semicolon, _ = value.partition(";")
    parameters: dict[str, str] = {}
    at = len(first)
    while semicolon and (found := PARAMETER.match(value, at)):
        given = ESCAPED.sub(r"\1", found[2]) if found[2] is not None else found[3]
        parameters.setdefault(found[1].lower(), given.replace("\0", "\N{REPLACEMENT CHARACTER}"))
        at = found.end()
    return first.strip(), parameters
