"""What people answer by e-mail: whether a person or a machine wrote it, what is new in it, and what it answers.

Everything here reads what strangers sent: nothing of it raises, and the work is bounded.
"""

import re
from collections.abc import Iterable
from email.header import decode_header, make_header
from email.parser import HeaderParser
from html import unescape

Headers = Iterable[tuple[str, str]]

MOST_CHARACTERS = 100_000  # of a text that is looked at; the rest of a longer one is left out
MOST_IDS = 50
MESSAGE_ID = re.compile(r"<\s*([^<>\s]{1,250})\s*>")

# RFC 3834 and what programs did before it
FLAGS = frozenset({"x-autoreply", "x-autorespond", "x-autoresponder"})
AUTOMATIC_PRECEDENCE = frozenset({"auto_reply", "auto-reply", "bulk", "junk"})
AUTOMATIC_SUBJECT = re.compile(
    r"\s*(?:automatic reply|auto[- ]?reply|autoresponse|out of (?:the )?office|away from (?:the |my )?office"
    r"|resposta automática|ausência temporária|fora do escritório|respuesta automática|fuera de (?:la )?oficina"
    r"|réponse automatique|absence du bureau|automatische antwort|abwesenheitsnotiz|risposta automatica)\b",
    re.IGNORECASE,
)

ATTRIBUTION = re.compile(
    # "On Mon, 2 Mar 2026 at 09:15, Shop <hello@shop.example> wrote:", often broken into two lines
    r"^(?:On|Em|No dia|El|Le|Am|Il|Op)\b[^\n]{0,200}\n?[^\n]{0,200}?"
    r"\b(?:wrote|escreveu|escribió|a écrit|schrieb|ha scritto|schreef)\b[^\n]{0,80}:[ \t]*\n(?=\s*(?:>|\Z))",
    re.MULTILINE | re.IGNORECASE,
)
ORIGINAL = re.compile(
    r"^(?:-{2,} ?(?:original message|mensagem original|mensaje original|message d'origine|ursprüngliche nachricht"
    r"|forwarded message) ?-{2,}"
    # Outlook: a rule or nothing, then the headers of what is answered
    r"|(?:_{20,}[ \t]*\n\s{0,20})?\*?(?:From|De|Von|Da)\s?:\*?[^\n]{0,200}\n\*?"
    r"(?:Sent|Date|Enviado|Enviada|Enviado el|Envoyé|Data|Fecha|Gesendet|Inviato)[^\n:]{0,20}:)",
    re.MULTILINE | re.IGNORECASE,
)
SIGNATURE = re.compile(r"^--[ \t]*$", re.MULTILINE)
DEVICE = re.compile(
    r"\n[ \t]*(?:Sent from my|Sent from Mail|Get Outlook for|Enviado do meu|Enviado a partir|Enviado desde mi"
    r"|Envoyé de mon|Envoyé depuis|Von meinem)\b[^\n]{0,100}\s*\Z",
    re.IGNORECASE,
)

SILENT = frozenset({"script", "style", "head", "title", "template"})
BREAKS = frozenset({"br", "p", "div", "li", "tr", "table", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "hr"})
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})\b([^<>]{0,5000})>")
QUOTE = re.compile(
    r"\bclass\s?=\s?[\"']?[^\"'<>]{0,200}\b(?:gmail_quote|gmail_attr|yahoo_quoted|moz-cite-prefix)"
    r"|\bid\s?=\s?[\"']?(?:divRplyFwdMsg|appendonsend)"
)


def read_headers(block: str) -> list[tuple[str, str]]:
    """Names and unfolded values of a block of headers, in their order."""
    parsed = HeaderParser().parsestr(block[:MOST_CHARACTERS], headersonly=True)
    return [(name, " ".join(str(value).split())) for name, value in parsed.items()]


def is_automatic(headers: Headers) -> bool:
    """Whether a program wrote it: an out-of-office answer, a report, or something sent to many."""
    return any(_says_automatic(name.strip().lower(), value.strip()) for name, value in headers)


def _says_automatic(name: str, value: str) -> bool:
    word = value.lower().partition(";")[0].strip()
    match name:
        case "auto-submitted":
            return word not in ("", "no")
        case "precedence":
            return word in AUTOMATIC_PRECEDENCE
        case "return-path":
            return word == "<>"  # nobody is to answer it: reports of mail servers
        case "content-type":
            return word == "multipart/report"
        case "subject":
            return AUTOMATIC_SUBJECT.match(decoded(value)) is not None
        case _:
            return name in FLAGS and word not in ("", "no")


def decoded(value: str) -> str:
    """A header's value with its encoded words (RFC 2047) read; as it is where they cannot be."""
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value[:MOST_CHARACTERS])))
    except (ValueError, LookupError):
        return value


def message_ids(headers: Headers) -> list[str]:
    """The messages it answers, nearest first, without angle brackets: In-Reply-To, then References from the last."""
    answered: list[str] = []
    referred: list[str] = []
    for name, value in headers:
        if name.strip().lower() == "in-reply-to":
            answered += MESSAGE_ID.findall(value[:MOST_CHARACTERS])
        elif name.strip().lower() == "references":
            referred += MESSAGE_ID.findall(value[:MOST_CHARACTERS])
    return list(dict.fromkeys([*answered, *reversed(referred)]))[:MOST_IDS]


def reply_text(plain: str, html: str = "") -> str:
    """What the person wrote: without quoted mail and signature, and everything where that would leave nothing.

    The HTML part is read only where there is no plain one.
    """
    whole = plain[:MOST_CHARACTERS].replace("\r\n", "\n").strip()
    if not whole and html:
        whole = without_quotes = _html_text(html, quotes=False)
        whole = whole or _html_text(html, quotes=True)
        return _without_tail(without_quotes) or whole
    return _without_tail(_without_quotes(whole)) or whole


def _without_quotes(whole: str) -> str:
    attributed = ATTRIBUTION.sub("", whole + "\n")
    return "\n".join(line for line in attributed.split("\n") if not line.lstrip().startswith(">"))


def _without_tail(written: str) -> str:
    """Without the mail below it, a signature, and what telephones add."""
    for mark in (ORIGINAL, SIGNATURE):
        if found := mark.search(written):
            written = written[: found.start()]
    return DEVICE.sub("", "\n" + written.strip()).strip()


def _html_text(html: str, *, quotes: bool) -> str:
    """The visible text, with what stands inside a quotation only when `quotes` are wanted.

    By hand: the standard library's HTMLParser takes minutes for 100 KB of a hostile mail.
    """
    parts: list[str] = []
    left_out: list[str] = []  # the element being left out, and those open inside it
    at = 0
    html = _without_comments(html[:MOST_CHARACTERS])
    for tag in TAG.finditer(html):
        closes, name = bool(tag[1]), tag[2].lower()
        if not left_out:
            parts.append(" ".join(html[at : tag.start()].split("\n")))
        at = tag.end()
        if closes and name in left_out[-50:]:  # ends what was forgotten inside it, too
            while left_out.pop() != name:
                pass
        elif not closes and (left_out or name in SILENT or (not quotes and _quotes(name, tag[3]))):
            left_out += [] if name in VOID else [name]
        elif not left_out and name in BREAKS:
            parts.append("\n")
    if not left_out:
        parts.append(html[at:])
    lines = (" ".join(unescape(line).split()) for line in "".join(parts).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _without_comments(html: str) -> str:
    kept, at = [], 0
    while (start := html.find("<!--", at)) >= 0:
        kept.append(html[at:start])
        end = html.find("-->", start + 4)
        at = end + 3 if end >= 0 else len(html)
    return "".join(kept) + html[at:]


def _quotes(name: str, attributes: str) -> bool:
    return name == "blockquote" or QUOTE.search(attributes) is not None
