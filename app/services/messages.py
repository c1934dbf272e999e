"""Single sends: everything that can be known to be wrong is named at once; the rest is the gate's, when it leaves."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app import ids
from app.domain.pointers import Problems
from app.domain.status import Channel, Direction, MessageStatus, MessageType
from app.domain.template import compile_stored
from app.errors import InvalidInput, NotFound
from app.models import Contact, ConversationStatus, Message, Template, Tenant
from app.repositories import contacts as contact_rows
from app.repositories import messages, templates
from app.schemas.messages import ConversationRead, MessageDecision, MessageDetail, MessageRead, MessageSend
from app.services.approvals import Answers
from app.services.campaign_reports import workflow_url
from app.services.channel_settings import require_reports, require_senders
from app.services.contacts import address_on, find_or_create
from app.services.message_content import check_content
from app.settings import Settings


async def enqueue(
    session: AsyncSession, tenant: Tenant, wanted: MessageSend, *, id: UUID, approvals: Answers | None = None
) -> Message:
    """Write a message that waits to be sent; start its workflow after the commit.

    `approvals`: what is known of its WhatsApp template; None: it is not looked at. Raises InvalidInput naming the
    field: an unknown contact, template or variable, a template that the provider did not approve in the language of
    the contact, a channel without a sender, a contact without any address for it.
    """
    if repeated := await messages.get(session, tenant.id, id):
        return repeated
    check_content(wanted)
    channels = [wanted.channel, *wanted.fallback_order]
    asked = [(channel, f"/fallback_order/{n}") for n, channel in enumerate(wanted.fallback_order)]
    await require_senders(session, tenant.id, [(wanted.channel, "/channel"), *asked])
    if wanted.fallback_after_minutes is not None:
        await require_reports(session, tenant.id, channels)
    template = await _template(session, tenant.id, wanted)
    contact = await find_or_create(
        session, tenant, contact_id=wanted.contact_id, phone=wanted.phone, email=wanted.email
    )
    if not any(address_on(contact, channel) for channel in channels):
        kind = "e-mail address" if wanted.channel is Channel.EMAIL else "phone number"
        raise InvalidInput.at("/channel", f"The contact has no {kind}: add one, or choose another channel.")
    if template is not None and approvals is not None and Channel.WHATSAPP in channels:
        _check_approval(template, (wanted.lang or "", contact.lang, tenant.default_lang), approvals)
    await contact_rows.ensure_conversation(session, tenant.id, contact.id)
    message = _message(tenant.id, id, wanted, contact, template)
    session.add(message)
    await session.flush()
    return message


async def core_schemas(session: AsyncSession, tenant_id: UUID, wanted: MessageSend) -> list[dict[str, Any]]:
    """Of its template, if it has one."""
    if wanted.template_name is None:
        return []
    template = await templates.find(session, tenant_id, wanted.template_name, wanted.channel, wanted.lang)
    return [template.core_schema_json] if template is not None else []


async def detail(session: AsyncSession, tenant_id: UUID, message_id: UUID, settings: Settings) -> MessageDetail:
    """Raises NotFound."""
    message = await messages.get(session, tenant_id, message_id)
    if message is None:
        raise NotFound(f"There is no message {message_id}.")
    instead = await messages.fallbacks(session, tenant_id, message) if message.direction is Direction.OUT else []
    verdicts = await messages.decisions(
        session, tenant_id, message.contact_id, [message.id, *(other.id for other in instead)]
    )
    workflow_id = workflow_of(message)
    return MessageDetail(
        **MessageRead.of(message).model_dump(),
        decisions=[
            MessageDecision(
                at=verdict.created_at,
                channel=verdict.channel,
                verdict=verdict.verdict,
                reason=verdict.reason,
                hold_until=verdict.hold_until,
                inputs=verdict.inputs_json,
            )
            for verdict in verdicts
        ],
        fallbacks=[MessageRead.of(other) for other in instead],
        workflow_id=workflow_id,
        workflow_url=workflow_url(settings, workflow_id) if workflow_id else "",
    )


def workflow_of(message: Message) -> str:
    """The workflow that sends it; empty for one that came in."""
    if message.direction is Direction.IN:
        return ""
    if message.campaign_id is None:
        return ids.message_workflow_id(message.tenant_id, message.fallback_of or message.id)
    if message.step == 0:
        return ids.campaign_workflow_id(message.tenant_id, message.campaign_id)
    return ids.sequence_workflow_id(message.tenant_id, message.campaign_id, message.contact_id)


async def conversation(session: AsyncSession, tenant_id: UUID, contact_id: UUID, limit: int) -> ConversationRead:
    """The last messages with a contact. Raises NotFound."""
    contact = await contact_rows.get(session, tenant_id, contact_id)
    if contact is None:
        raise NotFound(f"There is no contact {contact_id}.")
    row = await messages.conversation(session, tenant_id, contact_id)
    found, total = await messages.latest(session, tenant_id, contact_id, before=None, limit=limit)
    return ConversationRead(
        contact_id=contact_id,
        status=row.status if row else ConversationStatus.ACTIVE,
        unread_count=row.unread_count if row else 0,
        last_message_at=max(
            (
                moment
                for moment in (row.last_message_at if row else None, found[-1].created_at if found else None)
                if moment
            ),
            default=None,
        ),
        items=[MessageRead.of(message) for message in found],
        total=total,
    )


async def _template(session: AsyncSession, tenant_id: UUID, wanted: MessageSend) -> Template | None:
    if wanted.template_name is None:
        return None
    template = await templates.find(session, tenant_id, wanted.template_name, wanted.channel, wanted.lang)
    if template is None:
        raise InvalidInput.at(
            "/template_name", f"There is no active template {wanted.template_name!r} for {wanted.channel}."
        )
    problems = Problems()
    compiled = compile_stored(template.core_schema_json, lang=template.lang)
    problems.errors.extend(compiled.problems(wanted.variables))
    problems.raise_any()
    return template


def _check_approval(template: Template, languages: tuple[str, ...], approvals: Answers) -> None:
    """Of the one that is sent in these languages. When nobody could be asked, the message is stored all the same."""
    if not approvals.problems(template.core_schema_json):
        return
    key = compile_stored(template.core_schema_json, lang=template.lang).whatsapp_template(languages)
    problems = Problems()
    for detail in approvals.problems(template.core_schema_json, key):
        problems.add("/template_name", detail)
    problems.raise_any()


def _message(tenant_id: UUID, id: UUID, wanted: MessageSend, contact: Contact, template: Template | None) -> Message:
    payload: dict[str, Any] = {}
    if template is not None:
        payload = {
            "template_id": str(template.id),
            "template_lang": template.lang,
            "core_schema": template.core_schema_json,
            "variables": wanted.variables,
        }
    elif wanted.content is not None and wanted.text is None:
        kind = {"kind": "audio"} if wanted.type is MessageType.AUDIO else {}
        payload = {"content": {**kind, **wanted.content}}
    else:
        payload = {"text": wanted.text, **({"subject": wanted.subject} if wanted.subject else {})}
        payload |= {"content": wanted.content} if wanted.content is not None else {}
    if wanted.short_links:
        payload["short_links"] = True
    if wanted.fallback_order:
        payload["fallback_order"] = [channel.value for channel in wanted.fallback_order]
        if wanted.fallback_after_minutes is not None:
            payload["fallback_after_seconds"] = wanted.fallback_after_minutes * 60
    return Message(
        id=id,
        tenant_id=tenant_id,
        conversation_id=contact.id,
        contact_id=contact.id,
        channel=wanted.channel,
        direction=Direction.OUT,
        type=wanted.type,
        purpose=wanted.purpose,
        template_id=template.id if template else None,
        template_name=template.name if template else "",
        lang=wanted.lang or "",
        address=address_on(contact, wanted.channel),
        payload_json=payload,
        status=MessageStatus.QUEUED,
        meta_json=wanted.meta,
    )
