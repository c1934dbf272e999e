"""An expired token waits for the mend, says so, and costs nothing: no message, no peace of the provider."""

from typing import Any

from temporalio.api.sdk.v1 import WorkflowMetadata

from app.domain.status import Channel
from app.ids import campaign_workflow_id
from app.settings import Settings
from tests.crash.processes import Stores
from tests.operating.machines import Machine, Site, site

ON_WHATSAPP, ONLY_SMS = 40, 10
PEOPLE = ON_WHATSAPP + ONLY_SMS


async def expire(place: Site, token: str) -> None:
    """From now on the provider wants another token."""
    good = place.world.credentials[Channel.WHATSAPP]
    place.world.credentials[Channel.WHATSAPP] = {**good, "access_token": token}
    await place.world.put_account(Channel.WHATSAPP, place.world.credentials[Channel.WHATSAPP])


async def mend(place: Site, machine: Machine) -> None:
    setting = place.world.senders[Channel.WHATSAPP]
    token = place.world.credentials[Channel.WHATSAPP]["access_token"]
    body = {"credentials": {"access_token": token}}
    await machine.call("PATCH", f"/v1/onboarding/channel-settings/{setting}", 200, json=body)


async def refusals(place: Site) -> int:
    stats = (await place.world.http.get(f"{place.world.simulator}/stats?summary=1")).json()
    return sum(stats["totals"]["whatsapp_cloud"]["rejected"].values())


def refused(campaign: dict[str, Any]) -> dict[str, Any] | None:
    return next((item for item in campaign["waiting"] if item["reason"] == "sender_refused"), None)


def waits_for(campaign: dict[str, Any], count: int) -> bool:
    found = refused(campaign)
    return found is not None and found["count"] == count


async def details(place: Site, workflow_id: str) -> str:
    """What the engine's UI shows of the workflow."""
    handle = place.world.client.get_workflow_handle(workflow_id)
    return str((await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)).current_details)


class TestExpiredToken:
    async def test_launch_and_follow_ups_wait_for_the_mend_and_each_goes_out_once(
        self, settings: Settings, stores: Stores
    ) -> None:
        async with site(settings, stores, 1, day_seconds=20, followup_jitter_seconds=0) as place:
            (machine,) = place.machines
            await place.world.add_senders([Channel.WHATSAPP, Channel.SMS])
            await place.world.add_contacts(ON_WHATSAPP)
            await place.world.add_contacts(ONLY_SMS, consents=[Channel.SMS])
            await expire(place, "EAAsecond")
            campaign = await place.make_campaign(machine, fallback_order=["sms"], followups=[1])
            path = f"/v1/campaigns/{campaign}"

            stands = await machine.until(
                path, lambda it: waits_for(it, ON_WHATSAPP) and it["counts"]["sent"] == ONLY_SMS
            )
            found = refused(stands)
            assert found is not None
            assert "(code 190)" in found["detail"]
            assert found["channel_setting_id"] == str(place.world.senders[Channel.WHATSAPP])
            id = campaign_workflow_id(place.world.tenant.id, stands["id"])

            async def says_so() -> bool:
                return "is refused since" in await details(place, id)

            await place.world.eventually(says_so, "the engine's UI says so")
            knocks = await refusals(place)
            await place.world.settle()
            assert await refusals(place) <= knocks + 1 <= ON_WHATSAPP + 2
            assert stands["counts"]["failed"] == 0

            await mend(place, machine)
            await machine.until(path, lambda it: it["counts"]["sent"] >= PEOPLE and refused(it) is None)
            await expire(place, "EAAthird")
            await machine.until(path, lambda it: waits_for(it, ON_WHATSAPP) and it["status"] == "done")
            await mend(place, machine)
            done = await machine.until(path, lambda it: it["counts"]["active"] == 0)
            assert done["counts"]["sent"] == 2 * PEOPLE
            assert done["waiting"] == []
            accepted = await place.world.accepted()
            assert len(accepted) == 2 * PEOPLE
            assert set(accepted.values()) == {1}
