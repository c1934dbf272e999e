"""Short links: where they lead, and what a click says."""

from uuid import uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.links import is_web_address
from app.domain.scanners import SAME_CLICK, TOO_FAST
from app.errors import NotFound
from app.repositories import short_links
from app.repositories.short_links import KnownLink
from app.tokens import ALPHABET, CODE_LENGTH

OWN = "/u/"  # the way to unsubscribe: kept without our address, which may change
MOST_AGENT = 300  # characters


async def find(session: AsyncSession, code: str) -> KnownLink:
    """Raises NotFound."""
    link = None
    if len(code) == CODE_LENGTH and set(code) <= set(ALPHABET):
        link = await short_links.find(session, code)
    if link is None:
        raise NotFound("This short link does not exist: it is incomplete or was changed.")
    return link


def target_of(link: KnownLink, public_url: str) -> str:
    """Where it leads: what the message said, and nothing else. Raises NotFound for what no browser should open."""
    if link.url.startswith(OWN):
        return public_url + link.url
    if not is_web_address(link.url):
        raise NotFound("This short link leads nowhere.")
    return link.url


async def count_click(session: AsyncSession, link: KnownLink, user_agent: str) -> bool:
    """A person followed the link. Whether it counted: the way to unsubscribe never does, nor a double request."""
    if link.url.startswith(OWN):
        return False
    return await short_links.count_click(
        session,
        link,
        proof_id=uuid5(link.id, "delivered"),
        user_agent=user_agent[:MOST_AGENT],
        quiet=TOO_FAST,
        pause=SAME_CLICK,
    )
