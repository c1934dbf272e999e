"""`/r/{code}`: short links. They lead where the message said, whatever the request says."""

from typing import Any

from fastapi import APIRouter
from loguru import logger
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.domain.scanners import is_person
from app.errors import NotFound
from app.repositories.short_links import KnownLink
from app.routes.deps import Resources, ResourcesDep
from app.routes.endpoint import PublicEndpoint
from app.routes.pages import DATABASE_AWAY, HEADERS, busy_page, link_page, wants_page
from app.routes.problems import app_problem, documented
from app.services import links

router = APIRouter(prefix="/r", tags=["Links"], route_class=PublicEndpoint)

LOCATION = {"Location": {"schema": {"type": "string"}}}
REDIRECT: dict[int | str, dict[str, Any]] = {
    302: {"description": "To the address that the message had.", "headers": LOCATION}
}


@router.get("/{code}", status_code=302, response_class=Response, responses={**REDIRECT, **documented(404, 503)})
async def follow_link(code: str, request: Request, relay: ResourcesDep) -> Response:
    """Redirect to the address behind a short link, and count the click. Link scanners, previews and prefetching
    browsers are redirected and not counted."""
    return await _follow(code, request, relay)


@router.head("/{code}", status_code=302, include_in_schema=False)
async def look_at_link(code: str, request: Request, relay: ResourcesDep) -> Response:
    """Where the link leads, without a click."""
    return await _follow(code, request, relay)


async def _follow(code: str, request: Request, relay: Resources) -> Response:
    try:
        async with relay.sessions.system() as session:
            link = await links.find(session, code)
        target = links.target_of(link, relay.settings.public_url)
    except NotFound as error:
        return link_page(request) if wants_page(request) else app_problem(error)
    except DATABASE_AWAY as error:
        logger.error("{} /r/…: the database did not answer: {}", request.method, error)
        if wants_page(request):
            return busy_page(request)
        raise
    if is_person(request.method, request.headers):
        await _count(link, request, relay)
    return RedirectResponse(target, status_code=302, headers=HEADERS)


async def _count(link: KnownLink, request: Request, relay: Resources) -> None:
    """A click that can't be counted still leads on: the person is more important than the count."""
    try:
        async with relay.sessions.begin(link.tenant_id) as session:
            await links.count_click(session, link, request.headers.get("user-agent", ""))
    except DATABASE_AWAY as error:
        logger.warning("a click on the link {} could not be counted: {}", link.id, error)
