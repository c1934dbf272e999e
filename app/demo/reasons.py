"""Every contact's reason for having been messaged or not, checked against the contact file and what happened since."""

from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

from app.demo.facts import Facts
from app.demo.roster import Person, Roster
from app.demo.story import CHANNELS, FOLLOWUPS
from app.domain.status import Channel, MessageStatus, RecipientState, StopReason
from app.models import CampaignRecipient, Decision, Message

ORDER = tuple(Channel(name) for name in CHANNELS)
STEPS = range(len(FOLLOWUPS) + 1)
ENDING = {"already_replied", "already_converted", "opted_out"}


def unexplained(roster: Roster, facts: Facts) -> Iterator[str]:
    """What has no reason, a sentence each."""
    messages: dict[UUID, list[Message]] = defaultdict(list)
    for message in facts.sent:
        messages[message.contact_id].append(message)
    for contact_id in facts.recipients.keys() - roster.people.keys():
        yield f"contact {contact_id} is in the audience, but not in the file"
    for person in roster.people.values():
        recipient = facts.recipients.get(person.contact_id)
        if recipient is None:
            yield f"{_name(person)} is not in the audience"
            continue
        case = _Case(person, recipient, facts.decisions[person.contact_id], messages[person.contact_id], roster, facts)
        yield from (f"{_name(person)}: {problem}" for problem in case.problems())


def _name(person: Person) -> str:
    return f"contact {person.contact_id} (row {', '.join(map(str, person.rows))})"


class _Case:
    """One contact, with all that is known of it."""

    def __init__(
        self,
        person: Person,
        recipient: CampaignRecipient,
        decisions: list[Decision],
        messages: list[Message],
        roster: Roster,
        facts: Facts,
    ) -> None:
        self.person, self.recipient, self.messages = person, recipient, messages
        self.decisions = sorted(decisions, key=lambda decision: (decision.created_at, decision.id))
        self.roster, self.facts = roster, facts
        self.opted_out = {
            Channel(event.source.value)
            for event in facts.events_of.get(person.contact_id, [])
            if event.kind == "opted_out" and event.source.value in ORDER
        }

    def problems(self) -> Iterator[str]:
        yield from self._addresses()
        for decision in self.decisions:
            if not self._is_explained(decision):
                yield (
                    f"step {decision.step} over {decision.channel}: {decision.verdict} ({decision.reason}) "
                    "agrees neither with the file nor with what happened"
                )
        yield from self._unapproved_messages()
        for step in STEPS:
            yield from self._step(step)

    def _addresses(self) -> Iterator[str]:
        contact = self.facts.contacts.get(self.person.contact_id)
        if contact is None:
            yield "there is no such contact"
        elif (contact.phone or "", contact.email or "") != (self.person.phone, self.person.email):
            yield "its addresses are not those of the file"

    def _is_explained(self, decision: Decision) -> bool:
        channel, reason = decision.channel, decision.reason
        address, said = self.person.address(channel), self.person.consents.get(channel, "")
        if decision.verdict == "send":
            return bool(address) and said == "yes"
        if decision.verdict == "hold":  # no quiet hours and no pause
            return reason == "spacing" and self._came_too_soon(decision)
        if decision.verdict != "skip":
            return False  # every language has its template
        if reason.startswith("suppressed_"):
            suppression = self.facts.suppressions.get((channel, address))
            return (channel, address) in self.roster.refused or suppression is not None
        match reason:
            case "no_address":
                return not address
            case "no_consent":
                return bool(address) and said == ""
            case "opted_out":
                return said == "no" or bool(self.opted_out) or self.recipient.stop_reason is StopReason.OPTED_OUT
            case "already_replied":
                return self.recipient.replied_at is not None
            case "already_converted":
                return self.recipient.converted_at is not None
        return False

    def _came_too_soon(self, decision: Decision) -> bool:
        """On a slow machine a step that is late may come within half its distance to the next one."""
        sent = [message.sent_at for message in self.messages if message.step < decision.step and message.sent_at]
        before = [at for at in sent if at <= decision.created_at]
        if not before or decision.hold_until is None:
            return False
        return decision.created_at - max(before) < (decision.hold_until - max(before)) / 2

    def _unapproved_messages(self) -> Iterator[str]:
        approved = {decision.message_id for decision in self.decisions if decision.verdict == "send"}
        for message in self.messages:
            if message.id not in approved:
                yield f"message {message.id} has no verdict that let it pass"

    def _step(self, step: int) -> Iterator[str]:
        """Channels were asked in their order, and not given up before the last one without a reason."""
        decided = [decision for decision in self.decisions if decision.step == step]
        if not decided:
            if step == 0 or (self._was_reached_at_launch and self.recipient.stop_reason is None):
                yield f"step {step} was never decided, and nothing says why"
            return
        asked = list(dict.fromkeys(decision.channel for decision in decided))
        if tuple(asked) != ORDER[: len(asked)]:
            yield f"step {step} asked {', '.join(asked)}, which is not the order of the campaign"
        last = decided[-1]
        out = next((message for message in self.messages if message.id == last.message_id), None)
        is_out = out is not None and out.status is not MessageStatus.FAILED
        is_over = self.recipient.stop_reason is not None or last.reason in ENDING
        if not is_out and not is_over and len(asked) < len(ORDER):
            yield f"step {step} gave up after {asked[-1]}"
        if step == 0 and not self.messages and self.recipient.state is not RecipientState.SKIPPED:
            yield f"is {self.recipient.state} without a message"

    @property
    def _was_reached_at_launch(self) -> bool:
        return any(message.step == 0 and message.sent_at is not None for message in self.messages)
