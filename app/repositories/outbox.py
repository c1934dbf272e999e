"""The outbox: find whom to send to, claim rows before anything leaves, and record what came of it.

A row is claimed by one attempt only, whoever else works beside it: recipients are locked while they are decided, and
the message's id is made from what it is, so a second insert finds the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import MessageStatus, sources_of

# What the gate and the templates need to know of a contact `c`.
CONTACT_COLUMNS = """
           c.phone, c.email, c.first_name, c.last_name, c.lang, c.timezone, c.country, c.tags_json, c.attributes_json,
           c.deleted_at, c.whatsapp_inbound_at, c.whatsapp_limited_until,
           w.opt_in_at_utc AS whatsapp_in, w.opt_out_at_utc AS whatsapp_out, w.meta_json ->> 'scope' AS whatsapp_out_of,
           e.opt_in_at_utc AS email_in, e.opt_out_at_utc AS email_out,
           s.opt_in_at_utc AS sms_in, s.opt_out_at_utc AS sms_out,
           (SELECT reason FROM suppressions x WHERE x.tenant_id = c.tenant_id AND x.channel = 'whatsapp'
               AND x.address = c.phone AND x.lifted_at IS NULL) AS whatsapp_suppression,
           (SELECT reason FROM suppressions x WHERE x.tenant_id = c.tenant_id AND x.channel = 'email'
               AND x.address = c.email AND x.lifted_at IS NULL) AS email_suppression,
           (SELECT reason FROM suppressions x WHERE x.tenant_id = c.tenant_id AND x.channel = 'sms'
               AND x.address = c.phone AND x.lifted_at IS NULL) AS sms_suppression
"""
CONSENT_JOINS = """
    LEFT JOIN consents w ON w.contact_id = c.id AND w.channel = 'whatsapp'
    LEFT JOIN consents e ON e.contact_id = c.id AND e.channel = 'email'
    LEFT JOIN consents s ON s.contact_id = c.id AND s.channel = 'sms'
"""
# Among the attempts of a recipient, in place of a status: perhaps accepted, and the same request would tell.
REPEATABLE = "repeatable"
# Accepted, but not delivered in the time that the campaign allows: the next channel has its turn.
SUPERSEDED = "superseded"
_CANDIDATE = f"""
    SELECT r.contact_id, r.state, r.step, r.stop_reason, r.hold_until, {CONTACT_COLUMNS},
           (SELECT jsonb_object_agg(m.channel, CASE WHEN m.status IN ('sending', 'unknown') AND m.repeat_until > now()
                                                    THEN '{REPEATABLE}'
                                                    WHEN m.status = 'sent' AND m.superseded_at IS NOT NULL
                                                    THEN '{SUPERSEDED}' ELSE m.status END) FROM messages m
               WHERE m.campaign_id = r.campaign_id AND m.contact_id = r.contact_id AND m.step = :step
                 AND m.direction = 'out') AS attempts
    FROM campaign_recipients r
    JOIN contacts c ON c.id = r.contact_id
    {CONSENT_JOINS}
    WHERE r.campaign_id = :campaign_id AND {{which}}
    ORDER BY r.contact_id LIMIT :size FOR UPDATE OF r SKIP LOCKED
"""
_PENDING_OF_PAGE = text(
    _CANDIDATE.format(
        which="r.contact_id > :after AND r.contact_id <= :last AND r.state = 'pending' AND r.step = 0 "
        "AND (r.hold_until IS NULL OR r.hold_until <= now())"
    )
)
_DUE_OF_HELD = text(_CANDIDATE.format(which="r.state = 'held' AND r.step = 0 AND r.hold_until <= now()"))
_ONE = text(
    _CANDIDATE.format(which="r.contact_id = :contact_id")
    .replace("SKIP LOCKED", "")
    .replace(
        "AS attempts",
        """AS attempts,
           (SELECT max(m.sent_at) FROM messages m
               WHERE m.campaign_id = r.campaign_id AND m.contact_id = r.contact_id AND m.step < :step
                 AND m.direction = 'out') AS earlier_sent_at""",
    )
)

# A provider with idempotency keys knows a request again only if it is the same in every byte, so a row that was handed
# to it goes there again as it was, until its key expires.
_SAME_REQUEST = """(messages.repeat_until > now() AND messages.settings_id = excluded.settings_id
                    AND messages.address = excluded.address)"""
_CLAIM = text(
    f"""
    INSERT INTO messages (id, tenant_id, conversation_id, contact_id, campaign_id, step, channel, direction, type,
                          purpose, template_id, template_name, lang, address, payload_json, status, settings_id,
                          provider, claim_token, attempts, unresolved_since, frozen_json, repeat_until, fallback_at)
    SELECT v.id, :tenant_id, v.contact_id, v.contact_id, :campaign_id, :step, v.channel, 'out', v.type, :purpose,
           :template_id, v.template_name, v.lang, v.address, v.payload, 'sending', v.settings_id, v.provider,
           :claim_token, 1, now(), v.frozen, now() + v.repeat_seconds * interval '1 second',
           now() + v.fallback_seconds * interval '1 second'
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
         AS v(id uuid, contact_id uuid, channel text, type text, template_name text, lang text, address text,
              payload jsonb, settings_id uuid, provider text, frozen jsonb, repeat_seconds float8,
              fallback_seconds float8)
    ON CONFLICT (id) DO UPDATE
    SET status = 'sending', claim_token = excluded.claim_token, attempts = messages.attempts + 1,
        unresolved_since = CASE messages.status WHEN 'queued' THEN now() ELSE messages.unresolved_since END,
        next_attempt_at = CASE messages.status WHEN 'queued' THEN NULL ELSE now() END, address = excluded.address,
        payload_json = CASE WHEN {_SAME_REQUEST} THEN messages.payload_json ELSE excluded.payload_json END,
        frozen_json = CASE WHEN {_SAME_REQUEST} THEN messages.frozen_json ELSE excluded.frozen_json END,
        repeat_until = CASE WHEN {_SAME_REQUEST} THEN messages.repeat_until ELSE excluded.repeat_until END,
        settings_id = excluded.settings_id, provider = excluded.provider, fallback_at = excluded.fallback_at
    WHERE messages.status = 'queued'
       OR {_SAME_REQUEST} AND (messages.status = 'unknown'
                               OR messages.status = 'sending' AND messages.claim_token <> excluded.claim_token)
    RETURNING new.id, new.attempts, new.repeat_until, coalesce(old.status <> 'queued', false) AS doubtful,
              CASE WHEN old.id IS NOT NULL THEN new.frozen_json END AS frozen
    """
)
# The upsert is the check of the pair as well: it locks the conversation, so of two claims one comes second and sees
# what the first wrote.
_OPEN_CONVERSATIONS = text(
    """
    INSERT INTO conversations AS c (id, tenant_id, contact_id, last_message_at, pair_free_at)
    SELECT v.id, :tenant_id, v.id, now(), now() + v.pace * interval '1 second'
    FROM unnest(CAST(:ids AS uuid[]), CAST(:paces AS float8[])) AS v(id, pace) ORDER BY 1
    ON CONFLICT (id) DO UPDATE
    SET last_message_at = excluded.last_message_at,
        pair_free_at = CASE WHEN excluded.pair_free_at IS NULL THEN c.pair_free_at
                            ELSE clock_timestamp() + (excluded.pair_free_at - now()) END
    WHERE excluded.pair_free_at IS NULL OR c.pair_free_at IS NULL OR c.pair_free_at <= clock_timestamp()
    RETURNING id
    """
)
_PAIRS = text("SELECT id, pair_free_at FROM conversations WHERE id = ANY(:ids)")
_PACE = text(
    """
    UPDATE conversations SET pair_free_at = (CAST(:free_ats AS jsonb) ->> id::text)::timestamptz
    WHERE id = ANY(:ids)
    """
)
_LOOK_LATER = text(
    """
    UPDATE campaign_recipients SET hold_until = (CAST(:ats AS jsonb) ->> contact_id::text)::timestamptz
    WHERE campaign_id = :campaign_id AND contact_id = ANY(:ids) AND step = 0 AND state IN ('pending', 'held')
    """
)
_DECISIONS = text(
    """
    INSERT INTO decisions (tenant_id, campaign_id, contact_id, message_id, step, channel, verdict, reason, hold_until,
                           inputs_json)
    SELECT :tenant_id, :campaign_id, v.contact_id, v.message_id, v.step, v.channel, v.verdict, v.reason, v.hold_until,
           v.inputs
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
         AS v(contact_id uuid, message_id uuid, step smallint, channel text, verdict text, reason text,
              hold_until timestamptz, inputs jsonb)
    """
)
# Values by key instead of a join: the table is then surely read by its index, whatever a stale plan thinks of its size.
_RECIPIENTS = text(
    """
    UPDATE campaign_recipients
    SET state = CAST(:standings AS jsonb) -> contact_id::text ->> 'state', step = greatest(step, :step),
        reason = CAST(:standings AS jsonb) -> contact_id::text ->> 'reason',
        hold_until = (CAST(:standings AS jsonb) -> contact_id::text ->> 'hold_until')::timestamptz
    WHERE campaign_id = :campaign_id AND contact_id = ANY(:contact_ids) AND step <= :step
    """
)
# One order for everybody who updates several messages at once (the webhook relay does too), so none waits in a circle.
_LOCK = text("SELECT FROM messages WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE")
_SENT = text(
    """
    UPDATE messages
    SET status = CASE WHEN status = ANY(:sources) THEN 'sent' ELSE status END,
        provider_message_id = coalesce(nullif(CAST(:provider_ids AS jsonb) ->> id::text, ''), provider_message_id),
        sent_at = coalesce(sent_at, clock_timestamp()), unresolved_since = NULL, next_attempt_at = NULL,
        frozen_json = NULL, repeat_until = NULL,
        error_code = CASE WHEN status = ANY(:sources) THEN '' ELSE error_code END,
        error_detail = CASE WHEN status = ANY(:sources) THEN '' ELSE error_detail END
    WHERE id = ANY(:ids)
    """
)
_RECIPIENTS_SENT = text(
    """
    UPDATE campaign_recipients r SET state = 'sent'
    FROM messages m
    WHERE m.id = ANY(:ids) AND r.campaign_id = m.campaign_id AND r.contact_id = m.contact_id AND r.step = m.step
      AND r.state = 'queued'
    """
)
_WRITTEN_TO = text("UPDATE conversations SET last_outbound_at = now() WHERE id = ANY(:contact_ids)")
_NOT_SENT = text(
    """
    UPDATE messages m
    SET status = v.status, error_code = v.code, error_detail = v.detail, next_attempt_at = v.next_at,
        unresolved_since = CASE WHEN v.status = 'unknown' THEN m.unresolved_since END,
        failed_at = CASE WHEN v.status = 'failed' THEN clock_timestamp() END,
        frozen_json = CASE WHEN v.may_repeat THEN m.frozen_json END,
        repeat_until = CASE WHEN v.may_repeat THEN m.repeat_until END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:codes AS text[]), CAST(:details AS text[]),
                CAST(:next_ats AS timestamptz[]), CAST(:may_repeat AS boolean[]))
         AS v(id, status, code, detail, next_at, may_repeat)
    WHERE m.id = v.id AND m.claim_token = :claim_token AND m.status IN ('sending', 'unknown')
    RETURNING m.id, m.contact_id
    """
)
_DECIDE_AGAIN = text(
    """
    UPDATE campaign_recipients r SET state = 'pending', hold_until = v.next_at
    FROM unnest(CAST(:contact_ids AS uuid[]), CAST(:next_ats AS timestamptz[])) AS v(contact_id, next_at)
    WHERE r.campaign_id = :campaign_id AND r.contact_id = v.contact_id AND r.step = :step AND r.state = 'queued'
    """
)
_WITHDRAW = text(
    """
    UPDATE messages m SET status = 'skipped', error_code = v.reason, next_attempt_at = NULL, unresolved_since = NULL
    FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS v(id, reason)
    WHERE m.id = v.id AND m.status = 'queued'
    """
)
_ABANDONED_PAGE = text(
    """
    UPDATE messages SET status = 'unknown', error_code = 'interrupted',
           error_detail = 'the attempt that claimed it ended before the provider answered'
    WHERE campaign_id = :campaign_id AND contact_id > :after AND contact_id <= :last AND step = 0
      AND status = 'sending' AND claim_token <> :claim_token
    RETURNING contact_id, coalesce(repeat_until > now(), false) AS repeatable
    """
)
_ABANDONED = text(
    """
    UPDATE messages SET status = 'unknown', error_code = 'interrupted',
           error_detail = 'the attempt that claimed it ended before the provider answered'
    WHERE id = ANY(:ids) AND status = 'sending' AND claim_token <> :claim_token
    RETURNING id
    """
)
# A delivery that is reported at this moment waits for the claim, or the claim sees it.
_SUPERSEDED_NOW = text(
    """
    SELECT contact_id, channel, status FROM messages
    WHERE campaign_id = :campaign_id AND contact_id = ANY(:ids) AND step = :step AND superseded_at IS NOT NULL
    ORDER BY id FOR NO KEY UPDATE
    """
)
_GIVE_UP = text(
    "UPDATE messages SET frozen_json = NULL, repeat_until = NULL "
    "WHERE id = ANY(:ids) AND status IN ('sending', 'unknown')"
)
_NEXT_OF_PAGE = text(
    "SELECT count(*), min(hold_until) FROM campaign_recipients WHERE campaign_id = :campaign_id "
    "AND contact_id > :after AND contact_id <= :last AND state = 'pending' AND step = 0"
)
_NEXT_HELD = text(
    """
    SELECT least((SELECT min(hold_until) FROM campaign_recipients
                  WHERE campaign_id = :campaign_id AND hold_until IS NOT NULL AND state = 'held' AND step = 0),
                 (SELECT min(coalesce(hold_until, now())) FROM campaign_recipients
                  WHERE campaign_id = :campaign_id AND state = 'pending' AND step = 0))
    """
)
_SUPPRESS = text(
    """
    INSERT INTO suppressions (tenant_id, channel, address, reason, source)
    VALUES (:tenant_id, :channel, :address, :reason, :source)
    ON CONFLICT (tenant_id, channel, address) DO UPDATE SET lifted_at = NULL, reason = excluded.reason,
        source = excluded.source
    WHERE suppressions.lifted_at IS NOT NULL
    """
)

BEGINNING, END = UUID(int=0), UUID(int=2**128 - 1)
Candidate = Row[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A message that is about to leave."""

    id: UUID
    contact_id: UUID
    channel: str
    type: str
    template_name: str
    lang: str
    address: str
    payload: dict[str, Any]
    settings_id: UUID
    provider: str
    frozen: dict[str, Any] | None = None  # for a provider with idempotency keys: what it is handed, whole
    repeat_seconds: float | None = None
    fallback_seconds: float | None = None  # not delivered by then, the next channel has its turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    contact_id: UUID
    message_id: UUID | None
    step: int
    channel: str
    verdict: str
    reason: str
    hold_until: datetime | None
    inputs: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a recipient stands after a decision."""

    contact_id: UUID
    state: str
    reason: str = ""
    hold_until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NotSent:
    """A claimed message that the provider did not accept, or did not say. `may_repeat`: what it was handed is kept."""

    id: UUID
    status: MessageStatus
    code: str
    detail: str
    next_at: datetime | None = None
    may_repeat: bool = False


async def pending_of_page(
    session: AsyncSession, campaign_id: UUID, after: UUID | None, last: UUID, size: int
) -> Sequence[Candidate]:
    """Lock up to `size` recipients of the page that wait for a decision at step 0."""
    values = {"campaign_id": campaign_id, "after": after or BEGINNING, "last": last, "step": 0, "size": size}
    return (await session.execute(_PENDING_OF_PAGE, values)).all()


async def due_of_held(session: AsyncSession, campaign_id: UUID, size: int) -> Sequence[Candidate]:
    """Lock up to `size` recipients of step 0 whose hold is over, or who were held and are to be decided again."""
    held = (await session.execute(_DUE_OF_HELD, {"campaign_id": campaign_id, "step": 0, "size": size})).all()
    return held or await pending_of_page(session, campaign_id, None, END, size)


async def one(session: AsyncSession, campaign_id: UUID, contact_id: UUID, step: int) -> Sequence[Candidate]:
    values = {"campaign_id": campaign_id, "contact_id": contact_id, "step": step, "size": 1}
    return (await session.execute(_ONE, values)).all()


async def lock_superseded(session: AsyncSession, campaign_id: UUID, step: int, candidates: Sequence[Candidate]) -> None:
    """Before a decision: lock what was not delivered in time, and correct the attempts of whom it reached after all."""
    attempts = {row.contact_id: row.attempts for row in candidates if SUPERSEDED in (row.attempts or {}).values()}
    if not attempts:
        return
    values = {"campaign_id": campaign_id, "step": step, "ids": list(attempts)}
    for row in await session.execute(_SUPERSEDED_NOW, values):
        if row.status != MessageStatus.SENT:
            attempts[row.contact_id][row.channel] = row.status


async def claim(
    session: AsyncSession,
    claims: Sequence[Claim],
    *,
    tenant_id: UUID,
    campaign_id: UUID,
    step: int,
    purpose: str,
    template_id: UUID,
    claim_token: UUID,
) -> dict[UUID, Row[Any]]:
    """Insert the rows, or take over those that may leave again; what is now ours, by id: `attempts`, `repeat_until`,
    `doubtful` (an earlier request may have been accepted) and `frozen` (what it was, if this has to be the same)."""
    if not claims:
        return {}
    rows = await session.execute(
        _CLAIM,
        {
            "tenant_id": tenant_id,
            "campaign_id": campaign_id,
            "step": step,
            "purpose": purpose,
            "template_id": template_id,
            "claim_token": claim_token,
            "rows": _json(claims),
        },
    )
    return {row.id: row for row in rows}


async def open_conversations(
    session: AsyncSession, tenant_id: UUID, paces: dict[UUID, float | None]
) -> dict[UUID, datetime]:
    """Before a claim: open or touch the conversations of these contacts, and take the pair of those with a pace, so
    that nobody else writes to them for so many seconds. Whose pair is taken is not touched: until when it is."""
    if not paces:
        return {}
    values = {"tenant_id": tenant_id, "ids": list(paces), "paces": list(paces.values())}
    free = {row[0] for row in await session.execute(_OPEN_CONVERSATIONS, values)}
    if len(free) == len(paces):
        return {}
    rows = await session.execute(_PAIRS, {"ids": [id for id in paces if id not in free]})
    return {row[0]: row[1] for row in rows}


async def pace_pairs(session: AsyncSession, free_ats: dict[UUID, datetime]) -> None:
    """From when on these contacts may be written to again."""
    if free_ats:
        await session.execute(_PACE, {"ids": list(free_ats), "free_ats": _by_id(free_ats)})


async def look_later(session: AsyncSession, campaign_id: UUID, ats: dict[UUID, datetime]) -> None:
    """Recipients of step 0 for whom a sender had no room: whoever claims next need not look at them before."""
    if ats:
        await session.execute(_LOOK_LATER, {"campaign_id": campaign_id, "ids": list(ats), "ats": _by_id(ats)})


async def add_decisions(
    session: AsyncSession, tenant_id: UUID, campaign_id: UUID | None, verdicts: Sequence[Verdict]
) -> None:
    if verdicts:
        values = {"tenant_id": tenant_id, "campaign_id": campaign_id, "rows": _json(verdicts)}
        await session.execute(_DECISIONS, values)


async def place(session: AsyncSession, campaign_id: UUID, step: int, standings: Sequence[Standing]) -> None:
    """Write where recipients stand. A step that was left behind is not written over."""
    if standings:
        by_contact = orjson.dumps({str(it.contact_id): it for it in standings}).decode()
        values = {"standings": by_contact, "contact_ids": [it.contact_id for it in standings]}
        await session.execute(_RECIPIENTS, {"campaign_id": campaign_id, "step": step, **values})


async def mark_sent(session: AsyncSession, provider_ids: dict[UUID, str], contact_ids: Sequence[UUID]) -> None:
    """The provider accepted them. A receipt that was faster is not undone; a row given up as unknown lands here too."""
    if not provider_ids:
        return
    ids = list(provider_ids)
    given = orjson.dumps({str(id): provider_id for id, provider_id in provider_ids.items()}).decode()
    await session.execute(_LOCK, {"ids": ids})
    await session.execute(_SENT, {"ids": ids, "provider_ids": given, "sources": sources_of(MessageStatus.SENT)})
    await session.execute(_RECIPIENTS_SENT, {"ids": ids})
    await session.execute(_WRITTEN_TO, {"contact_ids": sorted(set(contact_ids))})


async def mark_not_sent(session: AsyncSession, outcomes: Sequence[NotSent], claim_token: UUID) -> set[UUID]:
    """Record what did not leave, unless a receipt or another attempt settled it meanwhile; the ids written."""
    if not outcomes:
        return set()
    await session.execute(_LOCK, {"ids": [outcome.id for outcome in outcomes]})
    rows = await session.execute(
        _NOT_SENT,
        {
            "claim_token": claim_token,
            "ids": [outcome.id for outcome in outcomes],
            "statuses": [outcome.status.value for outcome in outcomes],
            "codes": [outcome.code for outcome in outcomes],
            "details": [outcome.detail[:1_000] for outcome in outcomes],
            "next_ats": [outcome.next_at for outcome in outcomes],
            "may_repeat": [outcome.may_repeat for outcome in outcomes],
        },
    )
    return {row[0] for row in rows}


async def decide_again(
    session: AsyncSession, campaign_id: UUID, step: int, next_ats: dict[UUID, datetime | None]
) -> None:
    """These recipients need another decision, at once or at the given time."""
    if next_ats:
        values = {"contact_ids": list(next_ats), "next_ats": list(next_ats.values())}
        await session.execute(_DECIDE_AGAIN, {"campaign_id": campaign_id, "step": step, **values})


async def withdraw(session: AsyncSession, reasons: dict[UUID, str]) -> None:
    """Queued messages that the gate refuses now."""
    if reasons:
        await session.execute(_WITHDRAW, {"ids": list(reasons), "reasons": list(reasons.values())})


async def abandon_page(
    session: AsyncSession, campaign_id: UUID, after: UUID | None, last: UUID, claim_token: UUID
) -> int:
    """Rows of the page that an earlier attempt claimed and never settled become unknown; how many. Those of a provider
    that knows their keys are decided again."""
    values = {"campaign_id": campaign_id, "after": after or BEGINNING, "last": last, "claim_token": claim_token}
    rows = (await session.execute(_ABANDONED_PAGE, values)).all()
    await decide_again(session, campaign_id, 0, {row.contact_id: None for row in rows if row.repeatable})
    return len(rows)


async def abandon(session: AsyncSession, message_ids: Sequence[UUID], claim_token: UUID) -> set[UUID]:
    """The same for single rows; the ids that became unknown."""
    if not message_ids:
        return set()
    rows = await session.execute(_ABANDONED, {"ids": list(message_ids), "claim_token": claim_token})
    return {row[0] for row in rows}


async def give_up(session: AsyncSession, message_ids: Sequence[UUID]) -> None:
    """These may not leave once more, so what became of them stays open until a report or the deadline."""
    if message_ids:
        await session.execute(_GIVE_UP, {"ids": list(message_ids)})


async def waiting_on_page(
    session: AsyncSession, campaign_id: UUID, after: UUID | None, last: UUID
) -> tuple[int, datetime | None]:
    """How many recipients of the page still wait for a decision, and when the first is due (None: now)."""
    values = {"campaign_id": campaign_id, "after": after or BEGINNING, "last": last}
    row = (await session.execute(_NEXT_OF_PAGE, values)).one()
    return row[0], row[1]


async def next_held(session: AsyncSession, campaign_id: UUID) -> datetime | None:
    """When the first recipient of step 0 that is held, or to be decided again, may be looked at."""
    when: datetime | None = (await session.execute(_NEXT_HELD, {"campaign_id": campaign_id})).scalar()
    return when


async def suppress(
    session: AsyncSession, *, tenant_id: UUID, channel: str, address: str, reason: str, source: str
) -> None:
    values = {"tenant_id": tenant_id, "channel": channel, "address": address, "reason": reason, "source": source}
    await session.execute(_SUPPRESS, values)


def _by_id(values: dict[UUID, datetime]) -> str:
    return orjson.dumps({str(id): value for id, value in values.items()}).decode()


def _json(rows: Sequence[Any]) -> str:
    """Rows as one JSON parameter: a tenth of the time that adapting a list a column takes."""
    return orjson.dumps(rows).decode()
