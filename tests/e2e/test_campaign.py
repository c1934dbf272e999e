import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.product import Product, product
from tests.e2e.provider import Provider, provider

COLUMNS = "phone,email,first_name,consent_whatsapp,consent_sms,consent_email,city"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Provider]:
    async with provider() as it:
        yield it


@pytest.fixture(scope="module")
async def running(server: Provider) -> AsyncIterator[Product]:
    # outside pytest's own directories, which only their user may enter
    with tempfile.TemporaryDirectory(prefix="relay-e2e-") as name:
        async with product(Path(name), server.url) as it:
            await it.up()
            yield it


@pytest.fixture
async def shop(running: Product) -> Product:
    """A new tenant with a sender on each channel."""
    await running.sign_up()
    await running.add_senders()
    return running


@pytest.fixture
def receiver(server: Provider) -> Provider:
    """The provider, with nothing accepted yet."""
    server.accepted.clear()
    return server


def people(count: int) -> tuple[str, dict[str, set[str]]]:
    """A file of contacts, and whom each provider has to be asked to reach: by the first channel they said yes to."""
    lines, expected = [COLUMNS], {"whatsapp_cloud": set[str](), "twilio": set[str](), "sendgrid": set[str]()}
    for n in range(count):
        phone, email = f"+35191{n:07d}", f"person{n}@example.com"
        yes = {0: "no,no,no", 1: "no,yes,no", 2: "no,no,yes", 3: ",,"}.get(n % 10, "yes,yes,yes")
        lines.append(f"{phone},{email},Ana,{yes},Porto")
        if yes == "yes,yes,yes":
            expected["whatsapp_cloud"].add(phone)
        elif yes == "no,yes,no":
            expected["twilio"].add(phone)
        elif yes == "no,no,yes":
            expected["sendgrid"].add(email)
    return "\n".join(lines) + "\n", expected


async def launch(shop: Product, **changes: object) -> str:
    template = await shop.add_template()
    body = {
        "name": "Spring",
        "primary_channel": "whatsapp",
        "fallback_order": ["sms", "email"],
        "template_id": template,
        "segment": {},
        "variables": {"code": "SPRING"},
        "quiet_hours": None,
        "launch": True,
        **changes,
    }
    return str((await shop.post("/v1/campaigns", 201, json=body))["id"])


def assert_everybody_once(receiver: Provider, expected: dict[str, set[str]]) -> None:
    assert set(receiver.accepted.values()) == {1}
    for name, recipients in expected.items():
        found = receiver.recipients(name)
        assert set(found) == recipients
        assert set(found.values()) <= {1}


class TestCampaignOverHttp:
    async def test_two_thousand_contacts_are_each_reached_once(self, shop: Product, receiver: Provider) -> None:
        csv, expected = people(2_000)
        imported = await shop.import_csv(csv)
        assert imported["counts"]["created"] == 2_000
        campaign = await launch(shop)
        done = await shop.until(f"/v1/campaigns/{campaign}", lambda it: it["status"] == "done")
        assert_everybody_once(receiver, expected)
        assert done["counts"]["recipients"] == 2_000
        assert done["counts"]["sent"] == 1_600
        assert done["counts"]["skipped"] == 400
        assert done["skipped_by_reason"] == {"no_consent": 200, "suppressed_stop": 200}
        assert "Bearer token-of-the-test" in receiver.credentials_seen

    async def test_it_goes_on_after_everything_was_stopped_in_the_middle(
        self, shop: Product, receiver: Provider
    ) -> None:
        csv, expected = people(1_000)
        await shop.import_csv(csv)
        campaign = await launch(shop)
        await until_accepted(receiver, 150)
        assert await shop.down() == []
        accepted = sum(receiver.accepted.values())
        await shop.up()
        done = await shop.until(f"/v1/campaigns/{campaign}", lambda it: it["status"] == "done")
        assert accepted < done["counts"]["sent"]
        assert_everybody_once(receiver, expected)
        assert done["counts"]["unknown"] == 0


async def until_accepted(receiver: Provider, count: int) -> None:
    while sum(receiver.accepted.values()) < count:
        await asyncio.sleep(0.005)


class TestBadInput:
    async def test_each_is_a_problem_document_that_names_the_field(self, shop: Product) -> None:
        template = await shop.add_template()
        base = {"name": "x", "primary_channel": "whatsapp", "template_id": template, "variables": {"code": "a"}}
        cases = [
            ({**base, "segment": {"all": [{"field": "nope", "op": "eq", "value": 1}]}}, "/segment/all/0/field"),
            ({**base, "variables": {}}, "/variables/code"),
            ({**base, "scheduled_at_utc": "2001-01-01T00:00:00Z"}, "/scheduled_at_utc"),
        ]
        for body, pointer in cases:
            answer = await shop.api.post("/v1/campaigns", json=body)
            assert answer.status_code == 422, answer.text
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert pointer in [error["pointer"] for error in answer.json()["errors"]], answer.text
        assert (await shop.api.get("/v1/campaigns")).json()["total"] == 0

    async def test_a_body_that_is_too_large_is_refused(self, shop: Product) -> None:
        answer = await shop.api.post(
            "/v1/contacts", content=b"x" * 50_000_000, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 413
        assert answer.headers["content-type"].startswith("application/problem+json")

    async def test_an_unparsable_file_is_refused(self, shop: Product) -> None:
        answer = await shop.api.post(
            "/v1/contacts/import", content=b"\x00\x01\x02;;;\n", headers={"Content-Type": "text/csv"}
        )
        assert answer.status_code == 422, answer.text
        assert json.loads(answer.content)["errors"]
