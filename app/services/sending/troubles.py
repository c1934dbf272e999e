"""A sender that its provider refuses gets nothing but a message now and then that finds out whether it was mended.

What would leave by it waits as it is, so nothing is lost, nothing fails, and the provider is left in peace.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import Channel, RecipientState
from app.repositories import sender_troubles
from app.repositories.outbox import Candidate
from app.repositories.sender_troubles import Trouble
from app.services.senders import Sender
from app.services.sending.choosing import Choice

REFUSED = "sender_refused"
# How long a recipient rests before it is asked again; short, because a mend is noticed by whoever asks first.
LOOK_AGAIN = timedelta(seconds=5)


async def hold_back(
    session: AsyncSession,
    candidates: Sequence[Candidate],
    choices: Sequence[Choice],
    senders: Mapping[Channel, Sender],
    troubles: Mapping[UUID, Trouble],
    step: int,
    now: datetime,
) -> Trouble | None:
    """Put off the choices that would leave by a refused sender; the trouble that put them off."""
    met: Trouble | None = None
    asked: set[UUID] = set()
    for row, choice in zip(candidates, choices, strict=True):
        if choice.claim is None:
            continue
        trouble = troubles.get(senders[Channel(choice.claim.channel)].settings_id)
        if trouble is None:
            continue
        if trouble.id not in asked:
            asked.add(trouble.id)
            if await sender_troubles.may_probe(session, trouble.id):
                choice.probe = True
                continue
        met = trouble
        undecided = row.state == RecipientState.PENDING and not step  # a page or the held lane comes for it again
        waits = RecipientState.PENDING if undecided else RecipientState.HELD
        choice.standing = replace(choice.standing, state=waits, reason=REFUSED, hold_until=now + LOOK_AGAIN)
        choice.claim = choice.rendered = choice.repeated = None
        choice.verdicts.clear()
    return met


def words(trouble: Trouble) -> str:
    """For the engine's UI."""
    return (
        f"the {trouble.channel} sender {trouble.name!r} is refused since {trouble.since:%Y-%m-%d %H:%M:%S} UTC: "
        f"{trouble.detail} (provider code {trouble.code})"
    )
