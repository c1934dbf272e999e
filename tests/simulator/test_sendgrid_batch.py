from typing import Any

import pytest

from tests.simulator.receiver import VERIFIED, Client, Receiver, until

ANA, TIM = "ana@example.com", "tim@example.com"


def batch(*people: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "from": VERIFIED,
        "personalizations": [{"custom_args": {"message_id": f"m-{n}"}, **one} for n, one in enumerate(people)],
        "subject": "March",
        "content": [{"type": "text/html", "value": '<a href="https://shop.example.org/-own-">shop</a>'}],
        **changes,
    }


def person(email: str, **changes: Any) -> dict[str, Any]:
    return {"to": [{"email": email}], "substitutions": {"-own-": email[:3]}, **changes}


class TestSubstitutions:
    async def test_each_person_gets_their_own_words(self, client: Client, listening: Receiver) -> None:
        await client.script(ANA, "click")
        await client.script(TIM, "click")
        assert (await client.mail(batch(person(ANA), person(TIM)))).status == 202
        await until(lambda: sum(event["event"] == "click" for event in listening.events()) == 2)
        clicks = {event["message_id"]: event["url"] for event in listening.events() if event["event"] == "click"}
        assert clicks == {"m-0": "https://shop.example.org/ana", "m-1": "https://shop.example.org/tim"}

    @pytest.mark.parametrize(
        ("payload", "field"),
        [
            (batch(person(ANA, substitutions={"-own-": "x" * 10_000})), "personalizations.0.substitutions"),
            (batch(person(ANA), person(TIM, substitutions={"-own-": 1})), "personalizations.1.substitutions"),
            (batch(person(ANA, substitutions="x")), "personalizations.0.substitutions"),
            (batch(person(ANA), template_id="d-1"), "personalizations.0.substitutions"),
            (batch(person(ANA), person(ANA.upper())), "personalizations.1"),
            (batch(person(ANA, to=[{"email": ANA, "name": "Sá, Ana"}])), "personalizations.0.to.0.name"),
        ],
    )
    async def test_what_the_real_one_refuses_is_refused(self, client: Client, payload: Any, field: str) -> None:
        answer = await client.mail(payload)
        assert answer.status == 400
        assert [error["field"] for error in answer.json["errors"]] == [field]


class TestInboundParse:
    async def test_mail_of_a_person_is_posted_as_a_form_to_its_own_address(
        self, client: Client, listening: Receiver
    ) -> None:
        where = {"provider": "sendgrid", "inbound_url": f"{listening.url}/mail?token=t"}
        await client.control("POST", "/sandbox/accounts", where)
        answer = await client.mail(batch(person(ANA)))
        said = {"provider": "sendgrid", "from": ANA, "text": "Olá, yes"}
        identity = (await client.control("POST", "/sandbox/inbound", said))["id"]
        await until(lambda: listening.at("/mail"))
        (posted,) = listening.at("/mail")
        assert posted.url.endswith("/mail?token=t")
        assert posted.headers["Content-Type"] == "multipart/form-data; boundary=xYzZY"
        assert f"Message-ID: {identity}".encode() in posted.body
        assert f"In-Reply-To: <{answer.headers['X-Message-Id']}@".encode() in posted.body
        assert "Olá, yes".encode() in posted.body
        assert all("xYzZY" not in found.body.decode() for found in listening.at("/email"))
        assert (await client.stats())["people"]["replied"] == 1

    async def test_address_survives_a_change_of_something_else(self, client: Client, listening: Receiver) -> None:
        where = {"provider": "sendgrid", "inbound_url": f"{listening.url}/mail"}
        await client.control("POST", "/sandbox/accounts", where)
        await client.control("POST", "/sandbox/accounts", {"provider": "sendgrid", "messages_per_second": 5})
        listening.statuses = [503]
        said = {"provider": "sendgrid", "from": ANA, "text": "boundary xYzZY of mine"}
        await client.control("POST", "/sandbox/inbound", said)
        await until(lambda: len(listening.at("/mail")) == 2)
        assert listening.at("/mail")[1].headers["Content-Type"] == "multipart/form-data; boundary=xYzZYx"

    async def test_without_an_address_nothing_is_posted(self, client: Client, listening: Receiver) -> None:
        said = {"provider": "sendgrid", "from": ANA, "text": "Hello"}
        await client.control("POST", "/sandbox/inbound", said)
        await until(lambda: client.server.sandbox.dispatcher.pending == 0)
        assert listening.posted == []
