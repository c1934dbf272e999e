"""Pages for people: plain HTML that loads nothing, in the language of their browser."""

from collections.abc import Mapping
from html import escape

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.requests import Request
from starlette.responses import HTMLResponse

from app.routes.problems import RETRY_SECONDS

DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)
LANGUAGES = ("en", "pt", "es", "fr")
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}
PAGE_HEADERS = {
    **HEADERS,
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Language",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
}
PAGE = """<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}
<title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1.5rem; line-height: 1.5 }}
button {{ font: inherit; padding: .6rem 1.2rem; cursor: pointer }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""
WORDS = {
    "en": {
        "busy_title": "One moment, please",
        "busy": "This page can't be shown right now. It tries again by itself in a few seconds.",
        "no_link_title": "This link does not work",
        "no_link": "It is incomplete, or it was changed on its way. Please open it from the message again.",
        "ask_title": "Unsubscribe",
        "ask": "No more messages from {sender}?",
        "unsubscribe": "Unsubscribe",
        "done_title": "Unsubscribed",
        "done": "You will get no more messages from {sender}.",
        "mistake": "Was this a mistake?",
        "subscribe": "Subscribe again",
        "back_title": "Subscribed again",
        "back": "You will get messages from {sender} again.",
    },
    "pt": {
        "busy_title": "Um momento, por favor",
        "busy": "Não é possível mostrar esta página agora. Ela tenta de novo sozinha dentro de alguns segundos.",
        "no_link_title": "Este link não funciona",
        "no_link": "Está incompleto ou foi alterado pelo caminho. Abra-o de novo a partir da mensagem.",
        "ask_title": "Cancelar subscrição",
        "ask": "Não receber mais mensagens de {sender}?",
        "unsubscribe": "Cancelar subscrição",
        "done_title": "Subscrição cancelada",
        "done": "Não vai receber mais mensagens de {sender}.",
        "mistake": "Foi um engano?",
        "subscribe": "Subscrever de novo",
        "back_title": "Subscrição retomada",
        "back": "Vai voltar a receber mensagens de {sender}.",
    },
    "es": {
        "busy_title": "Un momento, por favor",
        "busy": "Ahora mismo no se puede mostrar esta página. Volverá a intentarlo sola en unos segundos.",
        "no_link_title": "Este enlace no funciona",
        "no_link": "Está incompleto o se modificó por el camino. Ábralo de nuevo desde el mensaje.",
        "ask_title": "Darse de baja",
        "ask": "¿No recibir más mensajes de {sender}?",
        "unsubscribe": "Darse de baja",
        "done_title": "Baja confirmada",
        "done": "No recibirá más mensajes de {sender}.",
        "mistake": "¿Ha sido un error?",
        "subscribe": "Suscribirse de nuevo",
        "back_title": "Suscripción recuperada",
        "back": "Volverá a recibir mensajes de {sender}.",
    },
    "fr": {
        "busy_title": "Un instant, s’il vous plaît",
        "busy": "Cette page ne peut pas être affichée pour le moment. Elle réessaie seule dans quelques secondes.",
        "no_link_title": "Ce lien ne fonctionne pas",
        "no_link": "Il est incomplet ou a été modifié en chemin. Ouvrez-le à nouveau depuis le message.",
        "ask_title": "Se désabonner",
        "ask": "Ne plus recevoir de messages de {sender} ?",
        "unsubscribe": "Se désabonner",
        "done_title": "Désabonnement effectué",
        "done": "Vous ne recevrez plus de messages de {sender}.",
        "mistake": "C’était une erreur ?",
        "subscribe": "Se réabonner",
        "back_title": "Réabonnement effectué",
        "back": "Vous recevrez à nouveau des messages de {sender}.",
    },
}


def language_of(request: Request) -> str:
    """The best of our languages for this browser, by its Accept-Language; English when it wants none of them."""
    wanted: list[tuple[float, int, str]] = []
    for place, item in enumerate(request.headers.get("accept-language", "").split(",")[:50]):
        tag, _, parameters = item.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        weight = _weight(parameters)
        if language in LANGUAGES and weight > 0:
            wanted.append((-weight, place, language))
    return min(wanted)[2] if wanted else LANGUAGES[0]


def wants_page(request: Request) -> bool:
    """Browsers ask for HTML by name; programs are told in their own way."""
    return "text/html" in request.headers.get("accept", "")


def page(lang: str, name: str, body: str, *, status: int = 200) -> HTMLResponse:
    """The page whose title is `name` of the words; `body` is HTML."""
    return _page(lang, name, body, status, PAGE_HEADERS)


def link_page(request: Request) -> HTMLResponse:
    """For a link that leads nowhere."""
    lang = language_of(request)
    return page(lang, "no_link", paragraph(WORDS[lang]["no_link"]), status=404)


def busy_page(request: Request) -> HTMLResponse:
    """For a link that works again as soon as the database does."""
    lang = language_of(request)
    headers = {**PAGE_HEADERS, "Retry-After": RETRY_SECONDS}
    refresh = f'\n<meta http-equiv="refresh" content="{RETRY_SECONDS}">' if request.method == "GET" else ""
    return _page(lang, "busy", paragraph(WORDS[lang]["busy"]), 503, headers, refresh)


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _page(lang: str, name: str, body: str, status: int, headers: Mapping[str, str], refresh: str = "") -> HTMLResponse:
    title = escape(WORDS[lang][f"{name}_title"])
    html = PAGE.format(lang=lang, title=title, body=body, refresh=refresh)
    return HTMLResponse(html, status_code=status, headers={**headers, "Content-Language": lang})


def _weight(parameters: str) -> float:
    """The q of an Accept-Language entry; what can't be read counts as not wanted."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.strip().lower() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
