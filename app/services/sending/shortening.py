"""Short links in what is about to leave. Their rows are written by the transaction that claims the message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.links import (
    Shortening,
    eligible,
    email_shortening,
    links_in,
    links_in_html,
    replaced,
    replaced_in_html,
    sms_shortening,
)
from app.domain.status import Channel, Purpose
from app.domain.template import Rendered
from app.repositories import short_links
from app.repositories.short_links import NewLink
from app.services.links import OWN
from app.tokens import CODE_LENGTH, ShortCodes

SAMPLE_CODE = "preview000"  # as long as a real one


@dataclass(frozen=True, slots=True)
class Draft:
    """A rendered message, and which of its links are to become short."""

    message_id: UUID
    channel: Channel
    rendered: Rendered
    shortening: Shortening


def draft_of(message_id: UUID, rendered: Rendered, channel: Channel, purpose: Purpose, provider: str) -> Draft:
    if channel is Channel.EMAIL:
        shortening = email_shortening(purpose, rendered.track_links, provider)
    else:
        shortening = sms_shortening(purpose, rendered.short_links)
    return Draft(message_id, channel, rendered, shortening)


def with_sample_links(sms: Rendered, purpose: Purpose, public_url: str) -> Rendered:
    """An SMS as long as it will be, for a preview: its short links are no working ones."""
    sample, shortening = f"{public_url}/r/{SAMPLE_CODE}", sms_shortening(purpose, sms.short_links)
    found = _links_of(sms.content, Channel.SMS)
    links = {link: sample for link in found if eligible(link, Channel.SMS, shortening, public_url, len(sample))}
    return replace(sms, content=_with_links(sms.content, Channel.SMS, links)) if links else sms


class Shortener:
    def __init__(self, public_url: str, codes: ShortCodes) -> None:
        self.public_url, self.codes = public_url, codes
        self._length = len(public_url) + len("/r/") + CODE_LENGTH

    async def shorten(self, session: AsyncSession, tenant_id: UUID, drafts: Sequence[Draft]) -> dict[UUID, Rendered]:
        """Write the links and put them into the messages; those that changed, by the message's id."""
        wanted = {draft.message_id: links for draft in drafts if (links := self._links(draft))}
        if not wanted:
            return {}
        rows = [link for links in wanted.values() for link in links]
        ours = await short_links.add(session, tenant_id, rows)
        changed = {}
        for draft in drafts:
            links = [link for link in wanted.get(draft.message_id, ()) if link.code in ours]
            taken = {self._whole(link.url): self._short(link.code) for link in links}
            if taken:  # a code that belongs to another link stays out, and the long link in
                content = _with_links(draft.rendered.content, draft.channel, taken)
                changed[draft.message_id] = replace(draft.rendered, content=content)
        return changed

    def _links(self, draft: Draft) -> list[NewLink]:
        if draft.channel is Channel.WHATSAPP or (
            draft.channel is Channel.EMAIL and draft.shortening is Shortening.NEVER
        ):
            return []
        found = dict.fromkeys(
            link
            for link in _links_of(draft.rendered.content, draft.channel)
            if eligible(link, draft.channel, draft.shortening, self.public_url, self._length)
        )
        return [
            NewLink(message_id=draft.message_id, code=self.codes.code(draft.message_id, kept), url=kept)
            for kept in map(self._kept, found)
        ]

    def _kept(self, link: str) -> str:
        own = f"{self.public_url}{OWN}"
        return OWN + link[len(own) :] if link.startswith(own) else link

    def _whole(self, kept: str) -> str:
        return f"{self.public_url}{kept}" if kept.startswith(OWN) else kept

    def _short(self, code: str) -> str:
        return f"{self.public_url}/r/{code}"


def _links_of(content: Mapping[str, Any], channel: Channel) -> list[str]:
    if channel is Channel.SMS:
        return links_in(content.get("body", ""))
    return [*links_in(content.get("text", "")), *links_in_html(content.get("html", ""))]


def _with_links(content: Mapping[str, Any], channel: Channel, links: Mapping[str, str]) -> dict[str, Any]:
    if channel is Channel.SMS:
        return {**content, "body": replaced(content["body"], links)}
    changed = {**content, "text": replaced(content["text"], links)}
    if "html" in content:
        changed["html"] = replaced_in_html(content["html"], links)
    return changed
