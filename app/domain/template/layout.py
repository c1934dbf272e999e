"""The look of an e-mail: MJML turned into HTML once per shape, with slots that each contact's text is escaped into."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape

import mrml

from app.domain.template.markup import as_html

SLOT = re.compile(r"__slot_([a-z]+\d*)__")
# the one sentence that is ours
UNSUBSCRIBE = {
    "en": "Unsubscribe",
    "pt": "Cancelar subscrição",
    "es": "Darse de baja",
    "fr": "Se désabonner",
    "de": "Abmelden",
    "it": "Annulla iscrizione",
    "nl": "Uitschrijven",
    "ar": "إلغاء الاشتراك",
    "he": "הסרה מרשימת התפוצה",
    "fa": "لغو اشتراک",
    "ur": "رکنیت ختم کریں",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Which parts an e-mail has; one HTML skeleton serves every e-mail of the same shape."""

    preheader: bool
    header: bool
    media: str  # image, link or empty
    buttons: int
    footer: bool
    unsubscribe: bool
    rtl: bool  # written from right to left


MEDIA = {
    "": "",
    "image": '<mj-image src="__slot_mediaurl__" alt="__slot_subject__" />',
    "link": '<mj-text><a href="__slot_mediaurl__">__slot_medianame__</a></mj-text>',
}


def unsubscribe_label(lang: str) -> str:
    return UNSUBSCRIBE.get(lang[:2].lower(), UNSUBSCRIBE["en"])


def fill(shape: Shape, values: Mapping[str, str]) -> str:
    """HTML with the slots of `shape` filled: lang, subject, preheader, header, mediaurl, medianame, body, buttontext0,
    buttonlink0 …, footer, unsubscribetext, unsubscribelink. Values are plain text; new lines are kept."""
    parts = list(_skeleton(shape))
    for place in range(1, len(parts), 2):
        parts[place] = as_html(values[parts[place]])
    return "".join(parts)


def unsubscribe_part(lang: str, url: str, direction: str) -> str:
    """For a layout that has no link to unsubscribe."""
    return (
        f'<div dir="{direction}" style="padding:16px;text-align:center;font-family:Helvetica,Arial,sans-serif;'
        f'font-size:12px"><a href="{escape(url)}" style="color:#6b7280">{escape(unsubscribe_label(lang))}</a></div>'
    )


@lru_cache(maxsize=256)
def _skeleton(shape: Shape) -> tuple[str, ...]:
    """Literal HTML and slot names in turn, as re.split gives them."""
    html = mrml.to_html(_mjml(shape), render_options=mrml.RenderOptions(disable_comments=False, fonts={})).content
    return tuple(SLOT.split(html))


def _mjml(shape: Shape) -> str:
    buttons = "".join(
        f'<mj-button href="__slot_buttonlink{n}__">__slot_buttontext{n}__</mj-button>' for n in range(shape.buttons)
    )
    unsubscribe = '<a href="__slot_unsubscribelink__" style="color:#6b7280">__slot_unsubscribetext__</a>'
    small_print = "<br/><br/>".join(
        text for text, there in (("__slot_footer__", shape.footer), (unsubscribe, shape.unsubscribe)) if there
    )
    direction, align = ("rtl", "right") if shape.rtl else ("ltr", "left")
    return f"""<mjml lang="__slot_lang__" dir="{direction}">
  <mj-head>
    <mj-title>__slot_subject__</mj-title>
    {"<mj-preview>__slot_preheader__</mj-preview>" if shape.preheader else ""}
    <mj-attributes>
      <mj-all font-family="Helvetica, Arial, sans-serif" />
      <mj-section direction="{direction}" />
      <mj-column direction="{direction}" />
      <mj-text font-size="16px" line-height="1.5" color="#111827" align="{align}" />
      <mj-button font-size="16px" background-color="#111827" color="#ffffff" border-radius="6px" />
    </mj-attributes>
  </mj-head>
  <mj-body background-color="#f3f4f6">
    <mj-section background-color="#ffffff" padding="24px 0">
      <mj-column>
        {'<mj-text font-size="22px" font-weight="bold">__slot_header__</mj-text>' if shape.header else ""}
        {MEDIA[shape.media]}
        <mj-text>__slot_body__</mj-text>
        {buttons}
      </mj-column>
    </mj-section>
    {_small(small_print) if small_print else ""}
  </mj-body>
</mjml>"""


def _small(text: str) -> str:
    return (
        '<mj-section padding="16px 0"><mj-column>'
        f'<mj-text font-size="12px" color="#6b7280" align="center">{text}</mj-text>'
        "</mj-column></mj-section>"
    )
