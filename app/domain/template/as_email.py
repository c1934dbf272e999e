"""A template as e-mail."""

from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from typing import Any

from app.domain.template import content as parts
from app.domain.template.content import Attached, Content, Link
from app.domain.template.layout import Shape, fill, unsubscribe_label, unsubscribe_part
from app.errors import InvalidInput

SUBJECT_LENGTH = 78
MAX_HTML = 2_000_000  # bytes
END_OF_BODY = "</body>"


def render_email(content: Content, context: Mapping[str, Any], *, unsubscribe: bool) -> dict[str, Any]:
    """Subject, text part and HTML part. With `unsubscribe` there is a visible link to the context's `unsubscribe_url`,
    also when no text of the template reads it."""
    blocks = {name: parts.block(content, name, context) for name in ("header", "footer")}
    blocks["body"] = body = parts.body(content, context)
    blocks["preheader"] = parts.one_line(parts.block(content, "preheader", context))
    # a subject is one line: a line break in a name must not start a new mail header
    subject = parts.one_line(parts.block(content, "subject", context))
    blocks["subject"] = subject or _shorten(parts.one_line(blocks["header"] or body.split("\n")[0]))
    links, attached = parts.links(content, context), parts.attached(content, context)
    url = str(context.get("unsubscribe_url") or "") if unsubscribe else ""
    if content.layout is None:
        html = _own_layout(content, blocks, links, attached, url)
    else:
        html = content.layout.render({**context, "blocks": _for_layout(content, blocks, links, attached)})
        if url and f'href="{escape(url)}"' not in html:
            html = _with_unsubscribe(html, content.lang, url)
    _check_size(content, html)
    file = f"{attached.name}: {attached.url}" if attached is not None and attached.type != "image" else ""
    goodbye = f"{unsubscribe_label(content.lang)}: {url}" if url else ""
    text = parts.paragraphs(blocks["header"], body, file, parts.lines_of(links), blocks["footer"], goodbye)
    return {"subject": blocks["subject"], "text": text, "html": html}


def _own_layout(
    content: Content, blocks: dict[str, str], links: list[Link], attached: Attached | None, unsubscribe: str
) -> str:
    values = {
        **blocks,
        "lang": content.lang.replace("_", "-") or "und",
        "unsubscribetext": unsubscribe_label(content.lang),
        "unsubscribelink": unsubscribe,
    }
    for place, link in enumerate(links):
        values[f"buttontext{place}"], values[f"buttonlink{place}"] = link.text, link.href
    if attached is not None:
        values["mediaurl"], values["medianame"] = attached.url, attached.name
    shape = Shape(
        preheader=blocks["preheader"] != "",
        header=blocks["header"] != "",
        media="" if attached is None else "image" if attached.type == "image" else "link",
        buttons=len(links),
        footer=blocks["footer"] != "",
        unsubscribe=unsubscribe != "",
        rtl=parts.direction(content.lang) == "rtl",
    )
    return fill(shape, values)


def _for_layout(
    content: Content, blocks: dict[str, str], links: list[Link], attached: Attached | None
) -> dict[str, Any]:
    """What a layout reads as `blocks`."""
    return {
        **blocks,
        "buttons": [{"text": link.text, "url": link.href} for link in links],
        "media": {**asdict(attached), "name": attached.name} if attached is not None else None,
        "lang": content.lang.replace("_", "-") or "und",
        "dir": parts.direction(content.lang),
    }


def _with_unsubscribe(html: str, lang: str, url: str) -> str:
    before, end, after = html.rpartition(END_OF_BODY)
    part = unsubscribe_part(lang, url, parts.direction(lang))
    return f"{before}{part}{end}{after}" if end else f"{html}{part}"


def _check_size(content: Content, html: str) -> None:
    if len(html) * 4 > MAX_HTML and (size := len(html.encode())) > MAX_HTML:
        pointer = content.layout.pointer if content.layout is not None else content.texts["body"].pointer
        raise InvalidInput.at(pointer, f"The HTML of the e-mail has {size:,} bytes; at most {MAX_HTML:,} are allowed.")


def _shorten(text: str) -> str:
    return text if len(text) <= SUBJECT_LENGTH else text[: SUBJECT_LENGTH - 1].rstrip() + "…"
