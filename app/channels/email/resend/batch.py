"""Resend's batches: one request, one idempotency key, and an answer for each e-mail.

https://resend.com/docs/api-reference/emails/send-batch-emails
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID, uuid5

from app.channels.base import OutboundMessage, Receipt
from app.channels.webhooks import mapping, text
from app.errors import MessageRejected, OutcomeUnknown, SendError

T = TypeVar("T")

MOST = 100
PERMISSIVE = {"x-batch-validation": "permissive"}  # an invalid e-mail does not take the others with it
NAMESPACE = UUID("6a1f2c1e-52f4-4f0e-9a0c-3f1f6f0a7d11")
PAUSES = (0.3, 1.0, 2.5)  # seconds before each repeat of a request whose answer was lost
PATIENCE_SECONDS = 30.0  # after which no repeat begins: somebody waits for the page that the batch belongs to


def key_of(messages: Sequence[OutboundMessage]) -> str:
    """The same for the same messages in the same order."""
    return str(uuid5(NAMESPACE, "/".join(str(message.reference) for message in messages)))


async def settled(post: Callable[[], Awaitable[T]]) -> T:
    """`post`, and again with the same key and bytes while nobody knows what became of it: Resend then answers as it did
    at first. What is still open after that nothing will settle: the e-mails have no keys of their own."""
    doubt: OutcomeUnknown | None = None
    until = monotonic() + PATIENCE_SECONDS
    for pause in (*PAUSES, None):
        try:
            return await post()
        except MessageRejected:  # also after a doubt: had it been accepted, the key would have told
            raise
        except OutcomeUnknown as error:
            doubt = error
            if not error.repeat_settles:
                break
        except SendError:  # refused this time, which says nothing of the first
            if doubt is None:
                raise
        if pause is None or monotonic() + pause > until:
            break
        await asyncio.sleep(pause)
    assert doubt is not None
    raise OutcomeUnknown(doubt.detail, provider_code=doubt.provider_code, repeat_settles=False) from doubt


def answers(answer: Mapping[str, Any], number: int) -> list[Receipt | SendError]:
    """One for each of the e-mails, in their order: `data` has the accepted ones, `errors` names the others by index.

    Raises OutcomeUnknown when the two do not make up the whole.
    """
    refused = {
        error["index"]: MessageRejected(text(error.get("message")) or "Refused.", provider_code="validation_error")
        for error in _objects(answer.get("errors"))
        if type(error.get("index")) is int and 0 <= error["index"] < number
    }
    accepted = iter(_objects(answer.get("data")))
    found: list[Receipt | SendError] = []
    for index in range(number):
        if index in refused:
            found.append(refused[index])
            continue
        told = next(accepted, {})
        if not (id := text(told.get("id"))):
            raise OutcomeUnknown("Accepted without an id for each e-mail.", provider_code="http_200")
        found.append(Receipt(provider_message_id=id, raw=told))
    if next(accepted, None) is not None:
        raise OutcomeUnknown("Accepted with more ids than e-mails.", provider_code="http_200")
    return found


def _objects(value: Any) -> list[dict[str, Any]]:
    return [mapping(item) for item in value] if isinstance(value, list) else []
