"""`/u/{token}`: the unsubscribe page, and one-click unsubscribe (RFC 8058). No login: the token is signed."""

from html import escape
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.errors import NotFound
from app.routes.deps import ResourcesDep, resources
from app.routes.endpoint import PublicEndpoint
from app.routes.problems import app_problem, documented
from app.routes.signals import stop_sequences
from app.services import unsubscribe
from app.services.unsubscribe import Subscription, mask_address

router = APIRouter(prefix="/u", tags=["Unsubscribe"], route_class=PublicEndpoint)

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1.5rem; line-height: 1.5 }}
button {{ font: inherit; padding: .6rem 1.2rem; cursor: pointer }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{words}</p>
{form}
</body>
</html>
"""
CONFIRM = '<form method="post"><button type="submit" name="confirm" value="yes">Unsubscribe</button></form>'
HTML_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "A page.", "content": {"text/html": {"example": "<!doctype html>…"}}}
}


@router.get("/{token}", response_class=HTMLResponse, responses={**HTML_ANSWER, **documented(404, 503)})
async def show_unsubscribe(token: str, request: Request, relay: ResourcesDep) -> Response:
    """The page that asks to confirm. Opening it changes nothing: mail scanners open every link."""
    try:
        who = relay.tokens.read(token)
        async with relay.sessions.begin(who.tenant_id) as session:
            found = await unsubscribe.look_up(session, who)
    except NotFound as error:
        return _not_found(request, error)
    return _page("Unsubscribe", f"No more messages from {_sender(found)} to {_address(found)}?", CONFIRM)


@router.post("/{token}", response_class=HTMLResponse, responses={**HTML_ANSWER, **documented(404, 413, 503)})
async def unsubscribe_now(token: str, request: Request) -> Response:
    """Unsubscribe, from the page or by a mail program's one click (`List-Unsubscribe=One-Click`). In force before this
    answers; running follow-ups end. Doing it again is fine."""
    relay = resources(request)
    one_click = b"List-Unsubscribe=One-Click" in await request.body()
    try:
        who = relay.tokens.read(token)
        async with relay.sessions.begin(who.tenant_id) as session:
            source = "list_unsubscribe" if one_click else "unsubscribe_page"
            found, stopped = await unsubscribe.unsubscribe(session, who, source=source)
    except NotFound as error:
        return _not_found(request, error)
    await stop_sequences(relay.workflows, stopped)
    return _page("Unsubscribed", f"You will get no more messages from {_sender(found)} at {_address(found)}.")


def _not_found(request: Request, error: NotFound) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        return _page("Link not valid", escape(error.detail), status=404)
    return app_problem(error)


def _page(title: str, words: str, form: str = "", status: int = 200) -> HTMLResponse:
    """`words` and `form` are HTML."""
    return HTMLResponse(PAGE.format(title=escape(title), words=words, form=form), status_code=status, headers=HEADERS)


def _sender(found: Subscription) -> str:
    return f"<strong>{escape(found.tenant_name)}</strong>"


def _address(found: Subscription) -> str:
    return escape(mask_address(found.address)) or "you"
