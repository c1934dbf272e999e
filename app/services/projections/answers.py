"""What STOP, START and HELP are answered with, unless the provider has done it.

An answer is a row like that of any single message. The starter gives it to its workflow, so what the keyword itself
changed is committed before anything leaves.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.keywords import Keyword
from app.domain.replies import ANSWER_AGAIN_AFTER, reply_to
from app.domain.status import Channel
from app.domain.tenant_rules import TenantRules
from app.models import Tenant
from app.repositories import answers
from app.repositories.answers import Answer
from app.repositories.webhook_events import StoredEvent
from app.services.projections.conversations import Meaning

ASKED = {Meaning.STOP: Keyword.STOP, Meaning.START: Keyword.START, Meaning.HELP: Keyword.HELP}
CHANNELS = frozenset({Channel.SMS, Channel.WHATSAPP})


async def project_answers(
    session: AsyncSession,
    tenant_id: UUID,
    events: Sequence[StoredEvent],
    people: Mapping[UUID, Sequence[UUID]],
    meanings: Mapping[UUID, Meaning],
) -> None:
    asked: dict[tuple[UUID, Channel, Keyword], StoredEvent] = {}
    for event in sorted(events, key=lambda event: event.at):
        keyword = ASKED.get(meanings.get(event.id, Meaning.REPLY))
        if keyword and event.channel in CHANNELS and people.get(event.id) and _is_open(event):
            asked.setdefault((people[event.id][0], event.channel, keyword), event)
    if not asked:
        return
    tenant = await session.get_one(Tenant, tenant_id, populate_existing=True)
    own = TenantRules.parse(tenant.settings_json).replies
    languages = await answers.languages(session, [contact_id for contact_id, _, _ in asked])
    wanted = []
    for (contact_id, channel, keyword), event in asked.items():
        lang = languages.get(contact_id, tenant.default_lang)
        words = reply_to(keyword, own, brand=tenant.name, lang=lang)
        if words:
            wanted.append(_answer(event, contact_id, channel, keyword, lang, words))
    await answers.add(session, tenant_id, wanted)


def _is_open(event: StoredEvent) -> bool:
    """Whether there is somebody to answer to, and something left to say."""
    return bool(event.text("address")) and not event.data.get("answered")


def _answer(event: StoredEvent, contact_id: UUID, channel: Channel, keyword: Keyword, lang: str, words: str) -> Answer:
    return Answer(
        id=uuid5(event.id, "answer"),
        event_id=str(event.id),
        contact_id=contact_id,
        channel=channel,
        keyword=keyword,
        at=event.at,
        lang=lang,
        address=event.text("address"),
        text=words,
        again_after=ANSWER_AGAIN_AFTER[keyword],
    )
