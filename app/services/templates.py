"""Templates: checked when they are written, versioned by name, language and channel."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import Feature
from app.channels.registry import adapter_class
from app.domain.status import Channel, Purpose
from app.domain.template import CompiledTemplate, compile_template
from app.domain.template.preview import segments_shown, warnings
from app.errors import FieldError, InvalidInput, NotFound
from app.models import Contact, Template, Tenant
from app.repositories import channel_settings, contacts, templates
from app.schemas.base import FieldProblem
from app.schemas.templates import (
    SAMPLE_CONTACT,
    ChannelPreview,
    RenderedChannel,
    Segments,
    TemplateCreate,
    TemplatePreview,
    TemplatePreviewRead,
)
from app.services.sending.shortening import with_sample_links


async def create(session: AsyncSession, tenant_id: UUID, wanted: TemplateCreate, *, id: UUID) -> Template:
    """Add a template, or the next version of the one with this name, language and channel.

    Raises InvalidInput that names each mistake of the core schema.
    """
    compile_template(wanted.core_schema, lang=wanted.lang)
    values = {
        "id": id,
        "tenant_id": tenant_id,
        "name": wanted.name,
        "channel": wanted.channel,
        "lang": wanted.lang,
        "category": wanted.category,
        "core_schema_json": wanted.core_schema,
        "is_active": wanted.is_active,
    }
    written = await templates.upsert(session, values)
    return await get(session, tenant_id, written)


async def get(session: AsyncSession, tenant_id: UUID, template_id: UUID) -> Template:
    """Raises NotFound."""
    template = await templates.get(session, tenant_id, template_id)
    if template is None:
        raise NotFound(f"There is no template {template_id}.")
    return template


async def preview(
    session: AsyncSession, tenant: Tenant, template_id: UUID, wanted: TemplatePreview, *, public_url: str
) -> TemplatePreviewRead:
    """What each channel would get, or why it would get nothing. The unsubscribe link shown is not a working one."""
    template = await get(session, tenant.id, template_id)
    compiled = compile_template(template.core_schema_json, lang=template.lang)
    person = await _person(session, tenant.id, wanted)
    context = {
        **wanted.variables,
        "contact": person,
        "tenant": {"name": tenant.name},
        "unsubscribe_url": f"{public_url}/u/preview",
    }
    missing = compiled.problems(wanted.variables)
    languages = (wanted.lang or str(person["lang"]), tenant.default_lang)
    channels = [wanted.channel] if wanted.channel else list(Channel)
    if missing:
        return TemplatePreviewRead(
            channels={channel: ChannelPreview(problems=_problems(missing)) for channel in channels}
        )
    media = await _sms_takes_media(session, tenant.id)
    return TemplatePreviewRead(
        channels={
            channel: _show(compiled, channel, languages, context, media, _purpose(template), public_url)
            for channel in channels
        }
    )


def contact_context(contact: Contact) -> dict[str, Any]:
    """What a template may read of a contact."""
    return {
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "phone": contact.phone or "",
        "email": contact.email or "",
        "lang": contact.lang,
        "timezone": contact.timezone,
        "country": contact.country,
        "tags": contact.tags_json,
        "attributes": contact.attributes_json,
    }


async def _person(session: AsyncSession, tenant_id: UUID, wanted: TemplatePreview) -> dict[str, Any]:
    if wanted.contact_id is None:
        return (wanted.contact or SAMPLE_CONTACT).model_dump()
    if wanted.contact is not None:
        raise InvalidInput.at("/contact", "Give contact_id or contact, not both.")
    contact = await contacts.get(session, tenant_id, wanted.contact_id)
    if contact is None:
        raise InvalidInput.at("/contact_id", f"There is no contact {wanted.contact_id}.")
    return contact_context(contact)


async def _sms_takes_media(session: AsyncSession, tenant_id: UUID) -> bool:
    """As the tenant's provider does; without one, as any that can."""
    id = await channel_settings.sending(session, tenant_id, Channel.SMS)
    setting = await channel_settings.get(session, tenant_id, id) if id else None
    return setting is None or Feature.MEDIA in adapter_class(Channel.SMS, setting.provider).features


def _purpose(template: Template) -> Purpose:
    """What it is probably sent as."""
    return Purpose.MARKETING if template.category.lower() == "marketing" else Purpose.TRANSACTIONAL


def _show(
    compiled: CompiledTemplate,
    channel: Channel,
    languages: tuple[str, ...],
    context: dict[str, Any],
    media: bool,
    purpose: Purpose,
    public_url: str,
) -> ChannelPreview:
    try:
        marketing = purpose is Purpose.MARKETING
        rendered = compiled.render(channel, languages, context, media=media, unsubscribe=marketing)
    except InvalidInput as error:
        return ChannelPreview(problems=_problems(error.errors))
    if channel is Channel.SMS:
        rendered = with_sample_links(rendered, purpose, public_url)
    shown = RenderedChannel(
        type=rendered.type.value,
        template_name=rendered.template_name,
        lang=rendered.lang,
        content=rendered.content,
    )
    if channel is Channel.SMS:
        shown.segments = Segments.model_validate(segments_shown(str(rendered.content["body"])))
    return ChannelPreview(rendered=shown, warnings=warnings(compiled, channel, languages, rendered, media=media))


def _problems(errors: list[FieldError]) -> list[FieldProblem]:
    return [FieldProblem(pointer=error.pointer, detail=error.detail) for error in errors]
