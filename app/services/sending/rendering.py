"""From a candidate to what is sent: its facts, its context, and what the template does not know."""

from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.gate import Decision, Verdict
from app.domain.status import Channel, OptOutScope, Purpose, SuppressionReason
from app.domain.template import CompiledTemplate, MissingVariable, Rendered
from app.errors import InvalidInput
from app.repositories.outbox import Candidate
from app.services.sending.shortening import Shortener
from app.tokens import ShortCodes, UnsubscribeTokens


class Renderer:
    """Adds to a rendered message what the template does not know: the unsubscribe link and its headers.

    Its `shortener` comes afterwards, when the message is claimed: short links have to be written down."""

    def __init__(self, public_url: str, tokens: UnsubscribeTokens, codes: ShortCodes) -> None:
        self.public_url, self.tokens = public_url, tokens
        self.shortener = Shortener(public_url, codes)

    def render(
        self,
        template: CompiledTemplate,
        channel: Channel,
        languages: tuple[str, ...],
        context: dict[str, Any],
        *,
        tenant_id: UUID,
        contact_id: UUID,
        message_id: UUID,
        purpose: Purpose,
        media: bool,
    ) -> Rendered:
        """`media`: the sender takes pictures and files. Raises InvalidInput, of which MissingVariable is one kind."""
        unsubscribe = channel is Channel.EMAIL and purpose is Purpose.MARKETING
        if not unsubscribe and "unsubscribe_url" not in template.names:
            return template.render(channel, languages, context, media=media)
        url = self.unsubscribe_url(channel, tenant_id, contact_id, message_id)
        values = {**context, "unsubscribe_url": url}  # a template that reads it would else have a hole there
        rendered = template.render(channel, languages, values, media=media, unsubscribe=unsubscribe)
        if unsubscribe:
            rendered.content["headers"] = _unsubscribe_headers(url)
        return rendered

    def with_unsubscribe(
        self, content: dict[str, Any], *, tenant_id: UUID, contact_id: UUID, message_id: UUID
    ) -> dict[str, Any]:
        """A marketing e-mail written by hand, with the link a template would have had."""
        url = self.unsubscribe_url(Channel.EMAIL, tenant_id, contact_id, message_id)
        return {**content, "text": f"{content['text']}\n\n{url}", "headers": _unsubscribe_headers(url)}

    def unsubscribe_url(self, channel: Channel, tenant_id: UUID, contact_id: UUID, message_id: UUID) -> str:
        token = self.tokens.issue(tenant_id=tenant_id, contact_id=contact_id, channel=channel, message_id=message_id)
        return f"{self.public_url}/u/{token}"


def _unsubscribe_headers(url: str) -> dict[str, str]:
    """RFC 8058: one POST to this address unsubscribes, without another question."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def contact_context(row: Candidate) -> dict[str, Any]:
    return {
        "first_name": row.first_name,
        "last_name": row.last_name,
        "phone": row.phone or "",
        "email": row.email or "",
        "lang": row.lang,
        "timezone": row.timezone,
        "country": row.country,
        "tags": row.tags_json,
        "attributes": row.attributes_json,
    }


def address_of(row: Candidate, channel: Channel) -> str:
    return (row.email if channel is Channel.EMAIL else row.phone) or ""


def consent_of(row: Candidate, channel: Channel) -> tuple[datetime | None, datetime | None, SuppressionReason | None]:
    """Opt-in, opt-out and suppression of the candidate on the channel."""
    if channel is Channel.WHATSAPP:
        opt_in, opt_out, reason = row.whatsapp_in, row.whatsapp_out, row.whatsapp_suppression
    elif channel is Channel.EMAIL:
        opt_in, opt_out, reason = row.email_in, row.email_out, row.email_suppression
    else:
        opt_in, opt_out, reason = row.sms_in, row.sms_out, row.sms_suppression
    return opt_in, opt_out, SuppressionReason(reason) if reason else None


def marketing_only(row: Candidate, channel: Channel) -> bool:
    """Whether the last no of the candidate was to marketing alone, which only WhatsApp tells apart."""
    return channel is Channel.WHATSAPP and row.whatsapp_out_of == OptOutScope.MARKETING


def stored_payload(rendered: Rendered) -> dict[str, Any]:
    """What a conversation shows later; the HTML of an e-mail can be rendered again and would fill the table."""
    return {key: value for key, value in rendered.content.items() if key not in {"html", "headers"}}


def frozen_request(rendered: Rendered) -> dict[str, Any]:
    """All that decides how the request looks, for a provider that must get the very same when it is repeated."""
    return {"type": rendered.type.value, "content": rendered.content}


def unrenderable(decision: Decision, problem: InvalidInput) -> Decision:
    """A message with a hole, or none at all, is not sent; another channel may do without what is missing here."""
    reason = "missing_variable" if isinstance(problem, MissingVariable) else "cannot_render"
    return Decision(verdict=Verdict.SKIP, reason=reason, inputs={**decision.inputs, "problem": problem.detail})
