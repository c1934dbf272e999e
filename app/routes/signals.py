"""Tell sequences that they are stopped. PostgreSQL already holds the stop, so a failure here costs nothing but time."""

import asyncio
from collections.abc import Sequence

from app.routes.deps import reached_engine
from app.services.stops import StoppedSequence
from app.temporal import Workflows


async def stop_sequences(workflows: Workflows, stopped: Sequence[StoppedSequence]) -> None:
    async def tell_all() -> None:
        await asyncio.gather(
            *(
                workflows.stop_sequence(one.tenant_id, one.campaign_id, one.contact_id, one.reason.value)
                for one in stopped
            )
        )

    if stopped:
        await reached_engine(tell_all())
