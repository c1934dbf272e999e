"""What became of a campaign, by three counts: the simulator's, the database's and the API's.

The simulator decides what was accepted, the audience who may be written to; the database has to agree with both, and to
name everything of which nobody can know.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from temporalio.client import Client

from app.demo.checks import message_counts
from app.demo.facts import Facts, read_facts
from app.domain.status import MessageStatus, RecipientState, StopReason
from app.models import CampaignRecipient, Contact, Message
from tests.chaos.audience import Person
from tests.chaos.campaign import Played, Struck
from tests.chaos.place import Place

SENT = {MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.READ}
# A message whose claim and the opt-out were committed in the same moment may still leave.
SAME_MOMENT = 2.0
LOOKED_UP = re.compile(r"message ([0-9a-f-]{36}) was accepted after all")
STATES = {"running": "= 'Running'", "completed": "= 'Completed'", "other": "NOT IN ('Running', 'Completed')"}
HELD = "held by policy"
RESEND = "resend"  # knows our keys: the same request again tells what became of the first
UNEXPLAINED = "unexplained"

TRANSITIONS = text(
    "SELECT u.message_id, u.was, u.became, u.claimed_at, u.at, u.code FROM chaos_unknown u "
    "JOIN messages m ON m.id = u.message_id WHERE m.campaign_id = :id ORDER BY u.at"
)
RESOLVED = text("SELECT message_id FROM events WHERE kind = 'resolved' AND campaign_id = :id")


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A send of whose outcome nobody knew for a while."""

    message_id: str
    contact_id: str
    channel: str
    step: int
    code: str
    resolved: str  # how
    accepted: bool  # what the simulator says
    fault: str


@dataclass(kw_only=True)
class Verdict:
    """`differences` is everything that is wrong, a sentence each; the lists name messages and contacts."""

    lost: list[dict[str, str]] = field(default_factory=list)
    duplicated: list[dict[str, str]] = field(default_factory=list)
    forbidden: list[dict[str, str]] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    accepted: int = 0
    workflows: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        unexplained = any(one.resolved == UNEXPLAINED for one in self.unknown)
        return not (self.lost or self.duplicated or self.forbidden or self.differences or unexplained)

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


async def judge(place: Place, played: Played, engine: Client) -> Verdict:
    tenant_id = played.customer.tenant_id
    facts = await read_facts(place.sessions, tenant_id)
    async with place.sessions.begin(tenant_id) as session:
        transitions = (await session.execute(TRANSITIONS, {"id": played.campaign_id})).all()
        resolved = set((await session.execute(RESOLVED, {"id": played.campaign_id})).scalars())
    case = _Case(played, facts)
    verdict = Verdict(accepted=sum(case.accepted.values()))
    case.find_unknown(verdict, list(transitions), resolved, set(LOOKED_UP.findall(place.log("worker-1"))))
    case.find_duplicated(verdict)
    case.find_forbidden(verdict)
    if not played.left:  # else it is not over, and nothing can be said of what is still due
        case.find_lost(verdict)
    mine = f"TenantId = '{tenant_id}'"
    for name, which in (
        ("running", "= 'Running'"),
        ("completed", "= 'Completed'"),
        ("other", "NOT IN ('Running', 'Completed')"),
    ):
        verdict.workflows[name] = (await engine.count_workflows(f"{mine} AND ExecutionStatus {which}")).count
    verdict.differences += [*case.differences(verdict), *played.notes]
    return verdict


async def _workflows(engine: Client, tenant_id: UUID) -> dict[str, int]:
    """How the tenant's workflows ended."""
    return {
        name: (await engine.count_workflows(f"TenantId = '{tenant_id}' AND ExecutionStatus {which}")).count
        for name, which in STATES.items()
    }


class _Case:
    def __init__(self, played: Played, facts: Facts) -> None:
        self.played, self.facts = played, facts
        self.messages = {str(message.id): message for message in facts.sent}
        self.accepted = Counter({entry["reference"]: entry["count"] for entry in played.stats["accepted"]})
        self.of_contact: dict[UUID, list[Message]] = defaultdict(list)
        for message in facts.sent:
            self.of_contact[message.contact_id].append(message)
        contacts = {contact.phone: contact for contact in facts.contacts.values()}
        self.cases: list[tuple[Person, Contact, CampaignRecipient]] = []
        self.missing: list[Person] = []
        for person in played.people:
            contact = contacts.get(person.phone)
            recipient = facts.recipients.get(contact.id) if contact else None
            if contact is None or recipient is None:
                self.missing.append(person)
            else:
                self.cases.append((person, contact, recipient))

    # unknown

    def find_unknown(self, verdict: Verdict, transitions: list[Any], reported: set[UUID], looked_up: set[str]) -> None:
        """Every message that was unknown at some time, how that was resolved, and the fault it goes back to."""
        became: dict[UUID, Any] = {}
        last: dict[UUID, Any] = {}
        for row in transitions:
            if row.became == "unknown":
                became.setdefault(row.message_id, row)
            last[row.message_id] = row
        for id, row in became.items():
            message = self.messages[str(id)]
            verdict.unknown.append(
                Unknown(
                    message_id=str(id),
                    contact_id=str(message.contact_id),
                    channel=message.channel.value,
                    step=message.step,
                    code=row.code,
                    resolved=_how(message, last[id], id in reported, str(id) in looked_up),
                    accepted=str(id) in self.accepted,
                    fault=self._fault_of(row.claimed_at or row.at, row.at),
                )
            )

    def _fault_of(self, claimed_at: datetime, at: datetime) -> str:
        """The first fault that was not over when the message was claimed and had begun when it became unknown."""
        begun = [struck for struck in self.played.struck if struck.begin <= at.timestamp()]
        return next((one.name for one in begun if one.end >= claimed_at.timestamp()), _last_name(begun))

    def fault_at(self, moment: datetime) -> str:
        return _last_name([struck for struck in self.played.struck if struck.begin <= moment.timestamp()])

    # duplicated, forbidden

    def find_duplicated(self, verdict: Verdict) -> None:
        """Accepted twice under one reference, or one step over two channels of which the first did not fail."""
        for reference, count in self.accepted.items():
            if count > 1:
                verdict.duplicated.append(self._named(reference, f"accepted {count} times"))
        for messages in self.of_contact.values():
            steps: dict[int, list[Message]] = defaultdict(list)
            for message in messages:
                if str(message.id) in self.accepted and message.status is not MessageStatus.FAILED:
                    steps[message.step].append(message)
            for same in steps.values():
                if len(same) > 1:
                    channels = ", ".join(message.channel.value for message in same)
                    verdict.duplicated.append(self._named(str(same[0].id), f"accepted over {channels}"))

    def find_forbidden(self, verdict: Verdict) -> None:
        """Accepted for somebody who said no, was never asked, or had opted out."""
        allowed = {
            (person.address(channel), channel): contact.id
            for person, contact, _ in self.cases
            for channel in person.allowed
        }
        out_since = {
            contact_id: min(event.created_at for event in events if event.kind == "opted_out")
            for contact_id, events in self._events_after_launch().items()
            if any(event.kind == "opted_out" for event in events)
        }
        for entry in self.played.stats["accepted"]:
            message = self.messages.get(entry["reference"])
            if message is None:
                verdict.differences.append(
                    f"accepted for {entry['recipient']}, but no such message: {entry['reference']!r}"
                )
                continue
            if (entry["recipient"], message.channel.value) not in allowed:
                verdict.forbidden.append(self._named(entry["reference"], "no consent"))
            since = out_since.get(message.contact_id)
            if since is not None and (message.created_at - since).total_seconds() > SAME_MOMENT:
                verdict.forbidden.append(self._named(entry["reference"], f"opted out at {since:%H:%M:%S}"))

    def _events_after_launch(self) -> dict[UUID, list[Any]]:
        launched = datetime.fromisoformat(self.played.campaign["launched_at"])
        return {
            contact_id: [event for event in events if event.created_at > launched]
            for contact_id, events in self.facts.events_of.items()
            if contact_id is not None
        }

    # lost

    def find_lost(self, verdict: Verdict) -> None:
        """A step that was due and of which nobody can say what became of it."""
        for person in self.missing:
            verdict.lost.append({"contact": person.phone, "why": "not in the audience"})
        for person, contact, recipient in self.cases:
            for step in self._steps_due(person, recipient):
                problem = self._problem(person, contact, step)
                if problem:
                    fault = self.fault_at(recipient.updated_at)
                    about = {"contact": str(contact.id), "step": str(step), "state": recipient.state.value}
                    verdict.lost.append({**about, "why": problem, "fault": fault})

    def _steps_due(self, person: Person, recipient: CampaignRecipient) -> range:
        if not person.allowed:
            return range(0)
        if recipient.stop_reason is not None or recipient.state is RecipientState.FAILED and recipient.step == 0:
            return range(1)  # a stop may come at any time after the launch
        return range(len(self.played.plan.followups) + 1)

    def _problem(self, person: Person, contact: Contact, step: int) -> str:
        of_step = {message.channel.value: message for message in self.of_contact[contact.id] if message.step == step}
        for message in of_step.values():
            if message.status is MessageStatus.UNKNOWN:
                return ""  # named
            if str(message.id) in self.accepted and message.status is not MessageStatus.FAILED:
                return ""
            if message.status in SENT:
                return f"{message.channel.value} is {message.status.value}, but was never accepted"
        if step == 0 and self.facts.recipients[contact.id].stop_reason is not None:
            return ""  # stopped before another channel was tried
        if all(channel in of_step or self._is_suppressed(person, channel) for channel in person.allowed):
            return ""  # every channel was tried and failed for good
        return f"no outcome; tried {', '.join(of_step) or 'nothing'}"

    def _is_suppressed(self, person: Person, channel: str) -> bool:
        return any(
            kind.value == channel and address == person.address(channel) for kind, address in self.facts.suppressions
        )

    # everything else

    def differences(self, verdict: Verdict) -> Iterator[str]:
        for name, number in self.played.left.items():
            yield f"still open at the end: {name} {number}"
        if verdict.workflows["running"] or verdict.workflows["other"]:
            yield f"workflows at the end: {verdict.workflows}"
        for person, contact, recipient in self.cases:
            wanted = RecipientState.SKIPPED if not person.allowed else None
            if wanted and recipient.state is not wanted:
                yield f"contact {contact.id} allows nothing and is {recipient.state.value}"
            if recipient.armed_at is not None and recipient.ended_at is None:
                yield f"the sequence of contact {contact.id} never ended"
        for message in self.messages.values():
            if message.provider == RESEND and message.status is MessageStatus.UNKNOWN:
                yield f"message {message.id} is unknown, though its provider knows its key"
        unknown = {one.message_id for one in verdict.unknown}
        for reference in self.accepted.keys() & self.messages.keys():
            message = self.messages[reference]
            settled = message.sent_at is not None or message.status is MessageStatus.FAILED
            if not settled and not (message.status is MessageStatus.UNKNOWN and reference in unknown):
                yield f"message {reference} was accepted and is {message.status.value}"
        yield from self._counts()

    def _counts(self) -> Iterator[str]:
        """The API counts what the database holds."""
        rows, counts = self.facts.recipients.values(), self.played.campaign["counts"]
        expected = {
            **message_counts(self.facts.sent),
            "recipients": len(self.played.people),
            "skipped": sum(row.state is RecipientState.SKIPPED for row in rows),
            "unknown": sum(message.status is MessageStatus.UNKNOWN for message in self.facts.sent),
            "armed": sum(row.armed_at is not None for row in rows),
            "opted_out": sum(row.stop_reason is StopReason.OPTED_OUT for row in rows),
            "replied": sum(row.replied_at is not None for row in rows),
        }
        for name, number in expected.items():
            if counts[name] != number:
                yield f"{name}: the API says {counts[name]}, the database {number}"
        accepted = sum(self.accepted[str(message.id)] for message in self.facts.sent if message.sent_at is not None)
        if accepted != expected["sent"]:
            yield f"sent: the simulator accepted {accepted} of the {expected['sent']} in the database"

    def _named(self, reference: str, why: str) -> dict[str, str]:
        message = self.messages.get(reference)
        about = {"message": reference, "contact": str(message.contact_id) if message else "?", "why": why}
        return {**about, "fault": self.fault_at(message.updated_at) if message else "?"}


def _how(message: Message, last: Any, reported: bool, looked_up: bool) -> str:
    if message.status is MessageStatus.UNKNOWN:
        return HELD if message.unresolved_since is None else UNEXPLAINED
    if message.provider == RESEND and last.became in {MessageStatus.SENT, MessageStatus.SENDING}:
        return "same key"
    if looked_up or last.code == "not_accepted":
        return "look-up"
    if reported or last.became in {MessageStatus.DELIVERED, MessageStatus.READ, MessageStatus.FAILED}:
        return "webhook"
    return "late answer" if last.became == MessageStatus.SENT else UNEXPLAINED


def _last_name(struck: list[Struck]) -> str:
    return struck[-1].name if struck else "none"
