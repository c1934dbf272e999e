"""Who shares a request with whom."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.channels.base import OutboundMessage
from app.domain.status import Channel, MessageType
from app.ids import new_id
from app.services.senders import Sender
from app.services.sending import Outgoing, requests

TENANT = new_id()


def outgoing(sender: Sender, type: MessageType = MessageType.TEXT, **changes: Any) -> Outgoing:
    id = new_id()
    message = OutboundMessage(
        reference=id,
        tenant_id=TENANT,
        settings_id=sender.settings_id,
        channel=Channel.EMAIL,
        type=type,
        to="a@b.example",
    )
    return Outgoing(id=id, contact_id=new_id(), sender=sender, message=message, **changes)


def sender(batch: int, settings_id: UUID) -> Sender:
    adapter: Any = None  # not asked
    return Sender(TENANT, settings_id, Channel.EMAIL, "resend", adapter, None, batch=batch)


def sizes(items: list[Outgoing]) -> list[int]:
    shared = requests(items)
    assert sorted(item.id for request in shared for item in request) == sorted(item.id for item in items)
    return sorted(len(request) for request in shared)


class TestRequests:
    def test_without_batches_each_message_has_its_own(self) -> None:
        one = sender(1, new_id())
        assert sizes([outgoing(one) for _ in range(3)]) == [1, 1, 1]

    def test_no_request_is_larger_than_the_sender_allows(self) -> None:
        hundred = sender(100, new_id())
        assert sizes([outgoing(hundred) for _ in range(250)]) == [50, 100, 100]

    def test_senders_and_types_are_kept_apart(self) -> None:
        first, second = sender(10, new_id()), sender(10, new_id())
        items = [outgoing(first), outgoing(first), outgoing(second), outgoing(first, MessageType.MEDIA)]
        assert sizes(items) == [1, 1, 2]

    def test_what_may_have_left_before_goes_alone(self) -> None:
        many = sender(10, new_id())
        keyed = outgoing(many, repeat_until=datetime.now(UTC))
        assert sizes([outgoing(many), keyed, outgoing(many, doubtful=True), replace(outgoing(many))]) == [1, 1, 2]
