import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.simulator.server import serving
from tests.simulator.receiver import RE, Answer, Client, Receiver, email, until

ANA, TIM, RUI = "ana@example.com", "tim@example.com", "rui@example.com"
MAILS = [email(to, reference=f"m-{number}") for number, to in enumerate((ANA, TIM, RUI))]


async def batch(client: Client, mails: Any, *, key: str = "", mode: str = "permissive", **headers: str) -> Answer:
    named = {"Authorization": f"Bearer {RE['api_key']}", "x-batch-validation": mode, **headers}
    if key:
        named["Idempotency-Key"] = key
    return await client.call("POST", "/emails/batch", json=mails, headers=named)


async def accepted(client: Client) -> dict[str, list[str]]:
    return {entry["recipient"]: entry["message_ids"] for entry in (await client.stats())["accepted"]}


class TestSendBatch:
    async def test_each_e_mail_has_an_id_in_the_order_of_the_request(self, client: Client) -> None:
        answer = await batch(client, MAILS)
        assert (answer.status, answer.json["errors"]) == (200, [])
        ids = [told["id"] for told in answer.json["data"]]
        assert await accepted(client) == {ANA: [ids[0]], TIM: [ids[1]], RUI: [ids[2]]}

    async def test_permissive_sends_the_valid_ones_and_names_the_others(self, client: Client) -> None:
        wrong = [MAILS[0], email("nobody"), MAILS[2], email(subject=None), email(attachments=[{"path": "x"}]), 7]
        answer = await batch(client, wrong)
        ids = [told["id"] for told in answer.json["data"]]
        assert [error["index"] for error in answer.json["errors"]] == [1, 3, 4, 5]
        assert all(error["message"] for error in answer.json["errors"])
        assert await accepted(client) == {ANA: [ids[0]], RUI: [ids[1]]}

    @pytest.mark.parametrize("headers", [{"mode": "strict"}, {"mode": ""}])
    async def test_strict_sends_all_or_none(self, client: Client, headers: dict[str, str]) -> None:
        if headers["mode"]:
            answer = await batch(client, [MAILS[0], email("nobody")], **headers)
        else:  # the rule where the header is missing
            bearer = {"Authorization": f"Bearer {RE['api_key']}"}
            answer = await client.call("POST", "/emails/batch", json=[MAILS[0], email("nobody")], headers=bearer)
        assert (answer.status, answer.json["name"]) == (422, "invalid_parameter")
        assert await accepted(client) == {}
        assert list((await batch(client, MAILS, mode="strict")).json) == ["data"]

    @pytest.mark.parametrize("mails", [[], {}, [email()] * 101, "x", None])
    async def test_anything_but_one_to_a_hundred_is_refused(self, client: Client, mails: Any) -> None:
        answer = await batch(client, mails)
        assert (answer.status, answer.json["name"]) == (422, "invalid_parameter")

    async def test_unknown_mode_and_foreign_domain_refuse_the_request(self, client: Client) -> None:
        assert (await batch(client, MAILS, mode="lenient")).status == 400
        assert (await batch(client, [MAILS[0], email(sender="x@other.example.org")])).status == 403
        assert await accepted(client) == {}

    async def test_each_is_reported_on_for_itself(self, client: Client, listening: Receiver) -> None:
        await client.script(TIM, "bounce")
        await batch(client, MAILS)
        await until(lambda: len(listening.at("/resend")) == 6)
        kinds = {(event.json["data"]["to"][0], event.json["type"]) for event in listening.at("/resend")}
        assert (TIM, "email.bounced") in kinds
        assert {(ANA, "email.delivered"), (RUI, "email.delivered")} <= kinds


class TestIdempotencyKey:
    async def test_same_batch_has_the_first_answer_and_sends_nothing(self, client: Client) -> None:
        mails = [*MAILS, email("nobody")]
        first = await batch(client, mails, key="k-1")
        assert (await batch(client, mails, key="k-1")).json == first.json
        assert (await client.stats())["totals"]["resend"]["accepted"] == 3

    async def test_other_batch_is_409(self, client: Client) -> None:
        await batch(client, MAILS, key="k-1")
        answer = await batch(client, MAILS[:2], key="k-1")
        assert (answer.status, answer.json["name"]) == (409, "invalid_idempotent_request")

    async def test_keys_of_single_e_mails_are_others(self, client: Client) -> None:
        assert (await client.email(MAILS[0], key="k-1")).status == 200
        assert (await batch(client, MAILS, key="k-1")).status == 200

    async def test_while_the_first_is_under_way_it_is_409(self, client: Client) -> None:
        await client.behave(latency_ms=500)
        first = asyncio.create_task(batch(client, MAILS, key="k-1"))
        while not (await client.stats())["accepted"]:
            await asyncio.sleep(0.01)
        assert (await batch(client, MAILS, key="k-1")).json["name"] == "concurrent_idempotent_requests"
        assert (await first).status == 200

    async def test_survives_a_restart(self, tmp_path: Path) -> None:
        answers = []
        for _ in range(2):
            async with serving(state_dir=tmp_path) as server, aiohttp.ClientSession() as http:
                answers.append((await batch(Client(http, server), [*MAILS, email("x")], key="k-1")).json)
        assert answers[0] == answers[1]
