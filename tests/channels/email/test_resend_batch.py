"""Resend's batches: the wire format, an answer for each e-mail, and answers that get lost."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import httpx
import pytest

from app.channels.base import Feature, Receipt
from app.channels.email.resend import ResendEmail, batch
from app.domain.status import MessageType
from app.errors import (
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    SendError,
    UnsupportedFeature,
)
from tests.channels.email.test_resend import CREDENTIALS, MAIL, refusal
from tests.channels.samples import context
from tests.channels.scripted import Close, Hang, Raw, Reply, Reset, ScriptedProvider, Step, free_port

MAILS = [
    replace(
        MAIL, reference=UUID(int=number), to=f"p{number}@example.com", content={**MAIL.content, "text": f"Hi {number}"}
    )
    for number in (1, 2, 3)
]
ACCEPTED = Reply(200, {"data": [{"id": "e-1"}, {"id": "e-2"}, {"id": "e-3"}]})


@pytest.fixture
def sender(provider: ScriptedProvider, http: httpx.AsyncClient) -> ResendEmail:
    return ResendEmail(CREDENTIALS, context(http, provider.url))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repeats, without the pauses between them."""
    monkeypatch.setattr(batch, "PAUSES", (0.0, 0.0, 0.0))


def ids(answers: Sequence[Receipt | SendError]) -> list[str | type[SendError]]:
    return [answer.provider_message_id if isinstance(answer, Receipt) else type(answer) for answer in answers]


class TestWireFormat:
    async def test_batch_is_a_list_of_what_single_requests_would_be(
        self, provider: ScriptedProvider, sender: ResendEmail
    ) -> None:
        provider.will(ACCEPTED, Reply(200, {"id": "e-4"}))
        assert ids(await sender.send_batch(MAILS)) == ["e-1", "e-2", "e-3"]
        for mail in MAILS:
            await sender.send(mail)
        together, *alone = provider.requests
        assert (together.method, together.target) == ("POST", "/emails/batch")
        assert together.headers["x-batch-validation"] == "permissive"
        assert together.headers["authorization"] == "Bearer re_key"
        assert together.headers["user-agent"]
        assert together.json() == [request.json() for request in alone]

    async def test_key_belongs_to_exactly_these_messages(self, provider: ScriptedProvider, sender: ResendEmail) -> None:
        provider.will(ACCEPTED, ACCEPTED, Reply(200, {"data": [{"id": "e-1"}, {"id": "e-2"}]}))
        for messages in (MAILS, MAILS, MAILS[:2]):
            await sender.send_batch(messages)
        first, again, fewer = (request.headers["idempotency-key"] for request in provider.requests)
        assert first == again != fewer
        assert provider.requests[0].body == provider.requests[1].body

    def test_a_hundred_at_most_are_declared(self) -> None:
        assert Feature.BATCH in ResendEmail.features
        assert ResendEmail.most_per_request == 100


class TestAnswers:
    async def test_refused_e_mails_are_told_by_their_index(
        self, provider: ScriptedProvider, sender: ResendEmail
    ) -> None:
        errors = [{"index": 1, "message": "Invalid `to` field."}]
        provider.will(Reply(200, {"data": [{"id": "e-1"}, {"id": "e-3"}], "errors": errors}))
        answers = await sender.send_batch(MAILS)
        assert ids(answers) == ["e-1", MessageRejected, "e-3"]
        assert isinstance(answers[1], MessageRejected)
        assert answers[1].detail == "Invalid `to` field."

    async def test_message_that_cannot_be_an_e_mail_never_leaves(
        self, provider: ScriptedProvider, sender: ResendEmail
    ) -> None:
        provider.will(Reply(200, {"data": [{"id": "e-2"}]}))
        wrong = [replace(MAILS[0], content={}), MAILS[1], replace(MAILS[2], type=MessageType.LOCATION)]
        assert ids(await sender.send_batch(wrong)) == [MessageRejected, "e-2", UnsupportedFeature]
        assert len(provider.requests[0].json()) == 1

    async def test_without_anything_to_send_there_is_no_request(
        self, provider: ScriptedProvider, sender: ResendEmail
    ) -> None:
        provider.will(ACCEPTED)
        assert ids(await sender.send_batch([replace(MAIL, content={})])) == [MessageRejected]
        assert provider.requests == []

    @pytest.mark.parametrize(
        "answer",
        [
            {"data": [{"id": "e-1"}]},
            {"data": [{"id": "e-1"}, {"id": "e-2"}, {"id": "e-3"}, {"id": "e-4"}]},
            {"data": [{"id": "e-1"}, {"id": "e-2"}, {"id": "e-3"}], "errors": [{"index": 0}]},
            {"data": [{"id": "e-1"}, {"id": ""}, {"id": "e-3"}]},
            {"data": [{"id": "e-1"}, 7, {"id": "e-3"}]},
            {"data": "e-1"},
            {"data": [{"id": "e-1"}, {"id": "e-2"}], "errors": [{"index": 7}, {"index": True}, "x"]},
            {},
            [],
        ],
    )
    async def test_answer_that_does_not_add_up_is_an_unknown_outcome(
        self, provider: ScriptedProvider, sender: ResendEmail, answer: object
    ) -> None:
        provider.will(Reply(200, answer))
        with pytest.raises(OutcomeUnknown) as caught:
            await sender.send_batch(MAILS)
        assert not caught.value.repeat_settles

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (refusal(429, "rate_limit_exceeded", retry_after="7"), RateLimited),
            (refusal(401, "missing_api_key"), ProviderMisconfigured),
            (refusal(403, "validation_error"), ProviderMisconfigured),
            (refusal(409, "resource_locked"), ProviderUnavailable),
        ],
    )
    async def test_refusal_before_acceptance_is_the_answer_to_all(
        self, provider: ScriptedProvider, sender: ResendEmail, reply: Reply, error: type[SendError]
    ) -> None:
        provider.will(reply)
        with pytest.raises(error):
            await sender.send_batch(MAILS)
        assert len(provider.requests) == 1

    async def test_unreachable_provider_is_unavailable(self, http: httpx.AsyncClient) -> None:
        sender = ResendEmail(CREDENTIALS, context(http, f"http://127.0.0.1:{free_port()}"))
        with pytest.raises(ProviderUnavailable):
            await sender.send_batch(MAILS)

    async def test_batch_refused_as_a_whole_goes_one_by_one(
        self, provider: ScriptedProvider, sender: ResendEmail
    ) -> None:
        no = refusal(422, "invalid_parameter")
        provider.will(no, Reply(200, {"id": "e-1"}), no, Reply(200, {"id": "e-3"}))
        assert ids(await sender.send_batch(MAILS)) == ["e-1", MessageRejected, "e-3"]
        assert [request.target for request in provider.requests] == ["/emails/batch", *["/emails"] * 3]
        assert [request.headers["idempotency-key"] for request in provider.requests[1:]] == [
            str(mail.reference) for mail in MAILS
        ]

    async def test_when_none_is_accepted_the_first_alone_tells_whether_it_is_the_account(
        self, provider: ScriptedProvider, sender: ResendEmail
    ) -> None:
        errors = [{"index": index, "message": "The domain is not verified."} for index in range(3)]
        provider.will(Reply(200, {"data": [], "errors": errors}), refusal(403, "validation_error"))
        assert ids(await sender.send_batch(MAILS)) == [ProviderMisconfigured] * 3
        assert len(provider.requests) == 2

    async def test_one_by_one_ends_at_a_limit(self, provider: ScriptedProvider, sender: ResendEmail) -> None:
        provider.will(refusal(422, "invalid_parameter"), Reply(200, {"id": "e-1"}), refusal(429, "rate_limit_exceeded"))
        assert ids(await sender.send_batch(MAILS)) == ["e-1", RateLimited, RateLimited]
        assert len(provider.requests) == 3


LOST: dict[str, Step] = {
    "closed": Close(),
    "reset": Reset(),
    "no answer in time": Hang(),
    "half an answer": Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{"),
    "server error": Reply(500, b"<html>"),
    "under way": refusal(409, "concurrent_idempotent_requests"),
    "not an answer": Reply(200, b"ok"),
}


class TestLostAnswer:
    @pytest.fixture
    def hasty(self, provider: ScriptedProvider, hasty_http: httpx.AsyncClient) -> ResendEmail:
        return ResendEmail(CREDENTIALS, context(hasty_http, provider.url))

    @pytest.mark.parametrize("what", LOST)
    async def test_is_settled_by_the_same_request(
        self, provider: ScriptedProvider, hasty: ResendEmail, what: str
    ) -> None:
        provider.will(LOST[what], ACCEPTED)
        assert ids(await hasty.send_batch(MAILS)) == ["e-1", "e-2", "e-3"]
        first, second = provider.requests
        assert first.body == second.body
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]

    async def test_that_stays_lost_is_settled_by_nothing_else(
        self, provider: ScriptedProvider, hasty: ResendEmail
    ) -> None:
        provider.will(Close())
        with pytest.raises(OutcomeUnknown) as caught:
            await hasty.send_batch(MAILS)
        assert not caught.value.repeat_settles
        assert len({request.body for request in provider.requests}) == 1
        assert len(provider.requests) == 4

    async def test_refusal_of_the_repeat_does_not_speak_for_the_first(
        self, provider: ScriptedProvider, hasty: ResendEmail
    ) -> None:
        provider.will(Close(), refusal(429, "rate_limit_exceeded"), refusal(401, "missing_api_key"))
        with pytest.raises(OutcomeUnknown) as caught:
            await hasty.send_batch(MAILS)
        assert not caught.value.repeat_settles

    async def test_repeat_may_succeed_after_a_limit(self, provider: ScriptedProvider, hasty: ResendEmail) -> None:
        provider.will(Close(), refusal(429, "rate_limit_exceeded"), ACCEPTED)
        assert ids(await hasty.send_batch(MAILS)) == ["e-1", "e-2", "e-3"]

    async def test_key_used_with_another_body_is_not_tried_again(
        self, provider: ScriptedProvider, hasty: ResendEmail
    ) -> None:
        provider.will(refusal(409, "invalid_idempotent_request"))
        with pytest.raises(OutcomeUnknown):
            await hasty.send_batch(MAILS)
        assert len(provider.requests) == 1

    async def test_patience_ends(
        self, provider: ScriptedProvider, hasty: ResendEmail, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch, "PATIENCE_SECONDS", -1.0)
        provider.will(Close())
        with pytest.raises(OutcomeUnknown):
            await hasty.send_batch(MAILS)
        assert len(provider.requests) == 1
