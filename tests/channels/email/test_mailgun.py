"""Mailgun: the shared contract, the wire format, batches, its refusals and the look-up."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.channels.base import Adapter, EventKind, Feature, OutboundMessage, Receipt, WebhookRequest
from app.channels.email.mailgun import MailgunEmail
from app.channels.email.mailgun.adapter import REGIONS
from app.domain.status import MessageType
from app.errors import (
    InvalidSignature,
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    SendError,
    UnsupportedFeature,
)
from tests.channels.contract import JSON, SHARED, TEXT, AdapterContract, offline
from tests.channels.email.mailgun_samples import (
    ACCEPTED,
    CREDENTIALS,
    MAIL,
    MESSAGE_ID,
    OWN_ID,
    PARTS,
    UNSUBSCRIBE,
    fields_of,
    fresh,
    payload,
    receiver,
    refusal,
    with_signature,
)
from tests.channels.samples import PAYLOADS, REFERENCE, SETTINGS_ID, TENANT_ID, context, recorded
from tests.channels.scripted import Reply, Request, ScriptedProvider


class TestContract(AdapterContract):
    adapter = MailgunEmail
    credentials = CREDENTIALS
    message = MAIL
    accepted = ACCEPTED
    accepted_id = MESSAGE_ID
    refused = refusal(400, "'subject' parameter is too long")
    refused_code = "http_400"
    refused_words = "'subject' parameter is too long"
    payload_headers = {"content_type": "application/json"}
    signature_header = "in the body"

    def reference_in(self, request: Request) -> str:
        return dict(fields_of(request))["v:message_id"]

    def sign(self, request: WebhookRequest) -> WebhookRequest:
        return with_signature(request, fresh())

    def payloads(self) -> dict[str, WebhookRequest]:
        return {file.name: payload(file.name) for file in sorted((PAYLOADS / "mailgun").iterdir())}

    @SHARED
    @given(data=st.data())
    def test_one_changed_byte_is_refused(self, data: st.DataObject) -> None:
        """Of what is signed: time and token, not the event."""
        values = fresh()
        name = data.draw(st.sampled_from(PARTS))
        place = data.draw(st.integers(0, len(values[name]) - 1))
        values[name] = values[name][:place] + chr(ord(values[name][place]) ^ 1) + values[name][place + 1 :]
        request = data.draw(st.sampled_from(list(self.payloads().values())))
        with pytest.raises(InvalidSignature):
            receiver().verify(with_signature(request, values))

    @SHARED
    @given(signature=TEXT, part=st.sampled_from(PARTS), other=JSON)
    def test_made_up_signature_is_refused(self, signature: str, part: str, other: Any) -> None:
        for values in ({**fresh(), "signature": signature}, {**fresh(), part: other}, {}):
            with pytest.raises(InvalidSignature):
                receiver().verify(with_signature(payload("delivered.json"), values))

    def test_missing_signature_is_refused(self) -> None:
        for request in self.payloads().values():
            for part in PARTS:
                values = {name: value for name, value in fresh().items() if name != part}
                with pytest.raises(InvalidSignature):
                    receiver().verify(with_signature(request, values))


@pytest.fixture
def sender(provider: ScriptedProvider, http: httpx.AsyncClient) -> MailgunEmail:
    return MailgunEmail(CREDENTIALS, context(http, provider.url))


class TestCheckCredentials:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("domain", "mg"),
            ("domain", "mg.example.org/v3"),
            ("domain", "../mg.example.org"),
            ("region", "mars"),
            ("from_email", "news"),
            ("reply_to", "news"),
        ],
    )
    def test_what_is_wrong_is_named(self, name: str, value: str) -> None:
        (problem,) = MailgunEmail.check_credentials({**CREDENTIALS, name: value})
        assert problem.startswith(f"credentials.{name} ")


class TestRegion:
    @pytest.mark.parametrize(("region", "host"), [("us", "api.mailgun.net"), ("EU", "api.eu.mailgun.net")])
    def test_it_gives_the_address(self, region: str, host: str) -> None:
        adapter = MailgunEmail({**CREDENTIALS, "region": region}, context(offline(), REGIONS["us"]))
        assert (adapter._url.host, adapter._url.scheme) == (host, "https")

    def test_an_address_that_the_operator_moved_holds(self) -> None:
        assert receiver(region="eu")._url == httpx.URL("http://127.0.0.1:9/v3/mg.example.org/messages")


class TestSend:
    async def test_mail_has_the_wire_format(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send(MAIL)
        request = provider.requests[0]
        assert (request.method, request.target) == ("POST", "/v3/mg.example.org/messages")
        assert request.headers["authorization"] == "Basic YXBpOmtleS0x"
        assert fields_of(request) == [
            ("from", "Example Org <news@mg.example.org>"),
            ("to", "ana@example.com"),
            ("subject", "March update"),
            ("text", "Hello"),
            ("html", "<p>Hello</p>"),
            ("h:List-Unsubscribe", "<https://u.example.org/o/tok>"),
            ("h:List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("h:Message-Id", f"<{OWN_ID}>"),
            ("v:message_id", str(REFERENCE)),
            ("v:tenant_id", str(TENANT_ID)),
            ("v:settings_id", str(SETTINGS_ID)),
        ]

    async def test_name_with_a_comma_is_one_recipient(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send(replace(MAIL, to_name="Sá, Ana"))
        assert dict(fields_of(provider.requests[0]))["to"] == '"Sá, Ana" <ana@example.com>'

    async def test_answers_may_go_elsewhere(self, provider: ScriptedProvider, http: httpx.AsyncClient) -> None:
        credentials = {**CREDENTIALS, "reply_to": "help@example.org"}
        provider.will(ACCEPTED)
        adapter = MailgunEmail(credentials, context(http, provider.url))
        await adapter.send(MAIL)
        await adapter.send_batch([mail(0), mail(1)])
        assert {batch_of(request)[1]["h:Reply-To"] for request in provider.requests} == {"help@example.org"}

    async def test_any_text_arrives_as_it_is(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        text = 'Olá & =%20\r\n--\r\n\r\nContent-Disposition: form-data; name="to"\n\n'
        await sender.send(replace(MAIL, content={**MAIL.content, "text": text, "headers": {'X-"\r\n': "é"}}))
        fields = dict(fields_of(provider.requests[0]))
        assert (fields["text"], fields["to"]) == (text, "ana@example.com")
        assert fields['h:X-"%0D%0A'] == "é"

    async def test_location_is_not_supported(self, sender: Adapter) -> None:
        with pytest.raises(UnsupportedFeature):
            await sender.send(replace(MAIL, type=MessageType.LOCATION))

    @pytest.mark.parametrize("body", [{}, {"id": ""}, {"id": "<>"}, b"OK"])
    async def test_acceptance_without_an_id_is_unknown(
        self, provider: ScriptedProvider, sender: Adapter, body: Any
    ) -> None:
        provider.will(Reply(200, body))
        with pytest.raises(OutcomeUnknown):
            await sender.send(MAIL)

    @pytest.mark.parametrize(
        ("status", "words", "error"),
        [
            (400, "to parameter has too many recipients (max 1000)", MessageRejected),
            (400, "Domain mg.example.org is not allowed to send: verify it first", ProviderMisconfigured),
            (400, "'from' parameter is not a valid address. please check documentation", ProviderMisconfigured),
            (401, "Forbidden", ProviderMisconfigured),
            (402, "Request Failed", MessageRejected),
            (403, "Domain is not allowed to send large batches yet", ProviderMisconfigured),
            (404, "Domain not found: mg.example.org", ProviderMisconfigured),
            (413, "Request Entity Too Large", MessageRejected),
            (429, "Domain mg.example.org is not allowed to send: recipient limit exceeded", RateLimited),
            (500, "Internal Server Error", OutcomeUnknown),
            (502, "Bad Gateway", OutcomeUnknown),
            (503, "Service Unavailable", OutcomeUnknown),
            (504, "Gateway Timeout", OutcomeUnknown),
        ],
    )
    async def test_status_and_words_decide_the_error(
        self, provider: ScriptedProvider, sender: Adapter, status: int, words: str, error: type[SendError]
    ) -> None:
        provider.will(refusal(status, words))
        with pytest.raises(SendError) as caught:
            await sender.send(MAIL)
        assert (type(caught.value), caught.value.provider_code) == (error, f"http_{status}")
        assert words in caught.value.detail

    async def test_refusal_in_plain_text_is_quoted(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(Reply(401, b"Forbidden", {"content-type": "text/plain"}))
        with pytest.raises(ProviderMisconfigured, match="HTTP 401: Forbidden"):
            await sender.send(MAIL)

    async def test_bad_recipient_is_not_used_again(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(refusal(400, "'to' parameter is not a valid address. please check documentation"))
        with pytest.raises(MessageRejected) as caught:
            await sender.send(MAIL)
        assert caught.value.suppress == "invalid"

    @pytest.mark.parametrize("limit", ["request", "recipient", "bytes"])
    async def test_limit_lasts_until_the_time_that_it_names(
        self, provider: ScriptedProvider, sender: Adapter, limit: str
    ) -> None:
        until = datetime.now(UTC) + timedelta(minutes=40)
        words = f"Domain mg.example.org is not allowed to send: {limit} limit exceeded, try again after "
        provider.will(refusal(429, words + format_datetime(until)))
        with pytest.raises(RateLimited) as caught:
            await sender.send(MAIL)
        assert caught.value.retry_after is not None
        assert timedelta(minutes=38) < caught.value.retry_after <= timedelta(minutes=40)

    @pytest.mark.parametrize(
        ("date", "wait"),
        [
            ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(days=31)),
            (f"Mon, 01 Jan {'9' * 20} 00:00:00 +0000", None),
            ("Mon, 99 Jan 2026 00:00:00 +0000", None),
        ],
    )
    async def test_date_that_is_none_or_too_far_away_breaks_nothing(
        self, provider: ScriptedProvider, sender: Adapter, date: str, wait: timedelta | None
    ) -> None:
        provider.will(refusal(429, f"Domain is not allowed to send: request limit exceeded, try again after {date}"))
        with pytest.raises(RateLimited) as caught:
            await sender.send(MAIL)
        assert caught.value.retry_after == wait

    @pytest.mark.parametrize(
        "until", ["yesterday or so", "Mon, 02 Mar 2026 09:15:04 GMT", "9" * 40, "Mon, 99 Xxx 2026"]
    )
    async def test_time_that_is_over_or_nonsense_is_a_short_wait(
        self, provider: ScriptedProvider, sender: Adapter, until: str
    ) -> None:
        provider.will(refusal(429, f"limit exceeded, try again after {until}"))
        with pytest.raises(RateLimited) as caught:
            await sender.send(MAIL)
        assert caught.value.pause == timedelta(seconds=1)


def mail(number: int, to: str = "", **content: Any) -> OutboundMessage:
    reference = UUID(int=REFERENCE.int + number)
    own = {"List-Unsubscribe": f"<https://u.example.org/o/{number}>"}
    changed = {
        "text": f"Hello {number}",
        "html": f"<p>Hello {number}</p>",
        "headers": {**UNSUBSCRIBE, **own},
        **content,
    }
    return replace(MAIL, reference=reference, to=to or f"p{number}@example.com", content={**MAIL.content, **changed})


def batch_of(request: Request) -> tuple[list[str], dict[str, str], dict[str, dict[str, str]]]:
    """The recipients, the other parameters and the variables."""
    fields = dict(fields_of(request))
    variables = json.loads(fields.pop("recipient-variables", "{}"))
    return fields.pop("to").split(", "), fields, variables


class TestSendBatch:
    async def test_what_differs_stands_in_the_variables(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        answers = await sender.send_batch([mail(0), mail(1)])
        (request,) = provider.requests
        to, fields, variables = batch_of(request)
        assert to == ["p0@example.com", "p1@example.com"]
        assert fields["subject"] == "%recipient.subject%"
        assert (fields["text"], fields["html"]) == ("%recipient.text%", "%recipient.html%")
        assert fields["h:List-Unsubscribe"] == "%recipient.h0%"
        assert fields["v:message_id"] == "%recipient.mid%"
        assert fields["v:settings_id"] == str(SETTINGS_ID)
        assert "h:Message-Id" not in fields
        assert variables["p1@example.com"] == {
            "subject": "March update",
            "text": "Hello 1",
            "html": "<p>Hello 1</p>",
            "h0": "<https://u.example.org/o/1>",
            "h1": "List-Unsubscribe=One-Click",
            "mid": str(UUID(int=REFERENCE.int + 1)),
        }
        assert [isinstance(answer, Receipt) and answer.provider_message_id for answer in answers] == [MESSAGE_ID] * 2

    async def test_two_for_one_person_leave_in_two_requests(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send_batch([mail(0), mail(1), mail(2, "p0@example.com")])
        assert sorted(batch_of(request)[0] for request in provider.requests) == [
            ["p0@example.com"],
            ["p0@example.com", "p1@example.com"],
        ]

    @pytest.mark.parametrize(
        "odd",
        [{"text": "100 %recipient.mid% sure"}, {"html": ""}, {"headers": {}}],
        ids=["a reference in the text", "no html", "no headers"],
    )
    async def test_what_is_unlike_the_others_leaves_alone(
        self, provider: ScriptedProvider, sender: Adapter, odd: dict[str, Any]
    ) -> None:
        provider.will(ACCEPTED)
        await sender.send_batch([mail(0), mail(1, **odd), mail(2)])
        assert sorted(len(batch_of(request)[0]) for request in provider.requests) == [1, 2]

    async def test_large_ones_are_shared_out(
        self, provider: ScriptedProvider, sender: Adapter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.channels.email.mailgun.forms.MOST_BYTES", 1_000)
        provider.will(ACCEPTED)
        answers = await sender.send_batch([mail(number, text="x" * 700) for number in range(3)])
        assert [batch_of(request)[0] for request in provider.requests] == [
            [f"p{number}@example.com"] for number in range(3)
        ]
        assert [type(answer) for answer in answers] == [Receipt] * 3

    async def test_one_bad_message_does_not_stop_the_others(self, provider: ScriptedProvider, sender: Adapter) -> None:
        bad = refusal(400, "'to' parameter is not a valid address. please check documentation")
        # all four, the first two, the last two, the third alone, the fourth alone
        provider.will(bad, ACCEPTED, bad, bad, ACCEPTED)
        answers = await sender.send_batch([mail(number) for number in range(4)])
        assert [type(answer) for answer in answers] == [Receipt, Receipt, MessageRejected, Receipt]
        assert [len(batch_of(request)[0]) for request in provider.requests] == [4, 2, 2, 1, 1]

    @pytest.mark.parametrize(
        ("status", "error"), [(500, OutcomeUnknown), (429, RateLimited), (403, ProviderMisconfigured)]
    )
    async def test_any_other_answer_is_that_of_all(
        self, provider: ScriptedProvider, sender: Adapter, status: int, error: type[SendError]
    ) -> None:
        provider.will(refusal(status, "No."))
        answers = await sender.send_batch([mail(0), mail(1)])
        assert [type(answer) for answer in answers] == [error, error]
        assert len(provider.requests) == 1

    async def test_message_without_content_is_rejected_by_itself(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(ACCEPTED)
        answers = await sender.send_batch([mail(0), mail(1, text="")])
        assert [type(answer) for answer in answers] == [Receipt, MessageRejected]

    def test_it_is_declared_with_its_size(self) -> None:
        assert Feature.BATCH in MailgunEmail.features
        assert MailgunEmail.most_per_request == 1_000


def listed(**changes: Any) -> Reply:
    item = json.loads(recorded("mailgun", "delivered.json"))["event-data"]
    return Reply(200, {"items": [{**item, **changes}], "paging": {}})


NOTHING = Reply(200, {"items": [], "paging": {}})
LONG_AGO = timedelta(hours=1)


class TestLookUp:
    async def test_it_is_asked_for_by_its_message_id(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(listed())
        found = await sender.look_up(MAIL, datetime.now(UTC))
        assert (found.found, found.provider_message_id, found.status) == (True, MESSAGE_ID, EventKind.DELIVERED)
        (request,) = provider.requests
        path, _, query = request.target.partition("?")
        asked = dict(parse_qsl(query))
        assert (request.method, path) == ("GET", "/v3/mg.example.org/events")
        assert (asked["message-id"], asked["ascending"], asked["limit"]) == (OWN_ID, "yes", "300")
        assert abs(float(asked["begin"]) - time.time()) < 300

    async def test_copy_of_a_batch_is_found_among_the_person_s_events(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(NOTHING, listed())
        found = await sender.look_up(MAIL, datetime.now(UTC))
        assert (found.found, found.provider_message_id) == (True, MESSAGE_ID)
        assert dict(parse_qsl(provider.requests[1].target.partition("?")[2]))["recipient"] == MAIL.to

    async def test_another_message_is_not_taken_for_it(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(NOTHING, listed(**{"user-variables": {"message_id": "another"}}))
        assert not (await sender.look_up(MAIL, datetime.now(UTC) - LONG_AGO)).found

    async def test_what_is_not_listed_yet_is_looked_for_again(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(NOTHING)
        with pytest.raises(ProviderUnavailable):
            await sender.look_up(MAIL, datetime.now(UTC) - timedelta(minutes=20))

    async def test_what_is_old_and_not_listed_was_never_accepted(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(NOTHING)
        assert not (await sender.look_up(MAIL, datetime.now(UTC) - LONG_AGO)).found

    async def test_what_may_be_listed_no_longer_cannot_be_told(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(NOTHING)
        with pytest.raises(UnsupportedFeature):
            await sender.look_up(MAIL, datetime.now(UTC) - timedelta(days=2))

    async def test_key_that_may_only_send_cannot_tell(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(Reply(401, b"Forbidden"))
        with pytest.raises(UnsupportedFeature):
            await sender.look_up(MAIL, datetime.now(UTC) - LONG_AGO)

    @pytest.mark.parametrize(
        "reply", [Reply(503), Reply(200, b"?"), Reply(200, {"items": 1}), Reply(200, {"items": [1]})]
    )
    async def test_trouble_is_no_answer(self, provider: ScriptedProvider, sender: Adapter, reply: Reply) -> None:
        provider.will(reply)
        with pytest.raises(ProviderUnavailable):
            await sender.look_up(MAIL, datetime.now(UTC) - LONG_AGO)

    async def test_more_than_a_page_is_no_answer(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(Reply(200, {"items": [{}] * 300}))
        with pytest.raises(ProviderUnavailable):
            await sender.look_up(MAIL, datetime.now(UTC) - LONG_AGO)
