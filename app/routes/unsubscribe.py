"""`/u/{token}`: the unsubscribe page, and one-click unsubscribe (RFC 8058). No login: the token is signed."""

from html import escape
from typing import Any

from fastapi import APIRouter
from loguru import logger
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.domain.status import Channel
from app.errors import NotFound
from app.routes.deps import Resources, ResourcesDep, resources
from app.routes.endpoint import PublicEndpoint
from app.routes.pages import DATABASE_AWAY, WORDS, busy_page, language_of, link_page, page, paragraph, wants_page
from app.routes.problems import app_problem, documented
from app.routes.signals import stop_sequences
from app.services import unsubscribe
from app.services.unsubscribe import Subscription, mask_address

router = APIRouter(prefix="/u", tags=["Unsubscribe"], route_class=PublicEndpoint)

CHANNEL_NAMES = {Channel.EMAIL: "E-mail", Channel.SMS: "SMS", Channel.WHATSAPP: "WhatsApp"}
ONE_CLICK = "List-Unsubscribe"
SUBSCRIBE = "subscribe"
FORM = '<form method="post"><button type="submit" name="intent" value="{intent}">{words}</button></form>'
HTML_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "A page.", "content": {"text/html": {"example": "<!doctype html>…"}}}
}


@router.get("/{token}", response_class=HTMLResponse, responses={**HTML_ANSWER, **documented(404, 503)})
async def show_unsubscribe(token: str, request: Request, relay: ResourcesDep) -> Response:
    """The page that asks to confirm. Opening it changes nothing: mail scanners open every link."""
    return await _show(token, request, relay)


@router.head("/{token}", response_class=HTMLResponse, include_in_schema=False)
async def look_at_unsubscribe(token: str, request: Request, relay: ResourcesDep) -> Response:
    """Whether there is such a page. Changes nothing."""
    return await _show(token, request, relay)


@router.post("/{token}", response_class=HTMLResponse, responses={**HTML_ANSWER, **documented(404, 413, 503)})
async def unsubscribe_now(token: str, request: Request) -> Response:
    """Unsubscribe, from the page or by a mail program's one click (`List-Unsubscribe=One-Click`). In force before this
    answers; running follow-ups end. Doing it again is fine. `intent=subscribe`, from the page, takes it back."""
    relay = resources(request)
    form = await _form(request)
    try:
        who = relay.tokens.read(token)
        if form.get("intent") == SUBSCRIBE and ONE_CLICK not in form:
            async with relay.sessions.begin(who.tenant_id) as session:
                found = await unsubscribe.subscribe_again(session, who)
            return _back(request, found)
        async with relay.sessions.begin(who.tenant_id) as session:
            source = "list_unsubscribe" if ONE_CLICK in form else "unsubscribe_page"
            found, stopped = await unsubscribe.unsubscribe(session, who, source=source)
    except NotFound as error:
        return _not_found(request, error)
    except DATABASE_AWAY as error:
        return _busy(request, error)
    await stop_sequences(relay.workflows, stopped)
    return _done(request, found)


async def _show(token: str, request: Request, relay: Resources) -> Response:
    try:
        who = relay.tokens.read(token)
        async with relay.sessions.begin(who.tenant_id) as session:
            found = await unsubscribe.look_up(session, who)
    except NotFound as error:
        return _not_found(request, error)
    except DATABASE_AWAY as error:
        return _busy(request, error)
    return _done(request, found) if found.opted_out else _ask(request, found)


async def _form(request: Request) -> dict[str, str]:
    """The fields of the form, as one-click senders or the page post it. A body that is neither still comes from
    somebody who posts to an unsubscribe link."""
    try:
        async with request.form(max_files=10, max_fields=50) as form:
            return {name: value for name, value in form.items() if isinstance(value, str)}
    except HTTPException as error:
        logger.info("an unsubscribe without a readable form: {}", error.detail)
        return {}


def _not_found(request: Request, error: NotFound) -> Response:
    return link_page(request) if wants_page(request) else app_problem(error)


def _busy(request: Request, error: Exception) -> Response:
    """Raises the error again for programs: the handler of all routes tells them."""
    if not wants_page(request):
        raise error
    logger.error("{} /u/…: the database did not answer: {}", request.method, error)
    return busy_page(request)


def _ask(request: Request, found: Subscription) -> HTMLResponse:
    lang = language_of(request)
    return page(lang, "ask", _words(lang, "ask", found) + _button(lang, "unsubscribe"))


def _done(request: Request, found: Subscription) -> HTMLResponse:
    lang = language_of(request)
    undo = paragraph(WORDS[lang]["mistake"]) + _button(lang, SUBSCRIBE)
    return page(lang, "done", _words(lang, "done", found) + undo)


def _back(request: Request, found: Subscription) -> HTMLResponse:
    lang = language_of(request)
    return page(lang, "back", _words(lang, "back", found) + _button(lang, "unsubscribe"))


def _button(lang: str, intent: str) -> str:
    return FORM.format(intent=intent, words=escape(WORDS[lang][intent]))


def _words(lang: str, name: str, found: Subscription) -> str:
    sender = f"<strong>{escape(found.tenant_name)}</strong>"
    text = escape(WORDS[lang][name]).replace("{sender}", sender)
    address = mask_address(found.address)
    where = f"{CHANNEL_NAMES[found.channel]}: {escape(address)}" if address else CHANNEL_NAMES[found.channel]
    return f"<p>{text}</p>\n<p>{where}</p>\n"
