"""A list that is imported while follow-ups are queued."""

import io

from app.domain.contact_file.types import FileKind
from app.domain.status import Channel
from app.ids import new_id
from app.services import imports
from tests.world import World


class TestSuppressedMeanwhile:
    async def test_the_queued_follow_up_does_not_leave_and_says_why(self, relay: World) -> None:
        listed, other = await relay.add_contacts(2)
        campaign = await relay.launch(followups=(2,), fallback_order_json=[])
        await relay.until_armed(campaign, 2)
        text = f"channel,address,reason\nwhatsapp,{listed.phone},complaint\n"
        upload = imports.look_through(io.BytesIO(text.encode()), None, FileKind.SUPPRESSIONS)
        id = new_id()
        async with relay.sessions.begin(relay.tenant.id) as session:
            options = imports.read_suppression_options({}, relay.tenant)
            await imports.store(session, relay.tenant.id, id, upload, options)
        await imports.start(relay.sessions, relay.workflows, relay.tenant.id, id)
        await relay.until("SELECT status, created FROM imports WHERE id = :id", ("done", 1), id=id)
        assert await relay.sequence_result(campaign, listed) == "exhausted"
        await relay.until_sent(campaign, other, 1, Channel.WHATSAPP)
        assert await relay.sent_to(listed) == [(0, "whatsapp", 1)]
        rows = await relay.rows(
            "SELECT verdict, reason FROM decisions WHERE contact_id = :id AND step = 1", id=listed.id
        )
        assert set(rows) == {("skip", "suppressed_complaint")}
