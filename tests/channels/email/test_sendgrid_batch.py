"""SendGrid's batches: everybody gets exactly the words written to them, whatever they share a request with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.channels.base import Feature, OutboundMessage, Receipt
from app.channels.email.sendgrid import SendGridEmail, batch
from app.domain.status import MessageType
from app.errors import (
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    RateLimited,
    SendError,
    UnsupportedFeature,
)
from tests.channels.contract import SHARED
from tests.channels.email.test_sendgrid import ACCEPTED, CREDENTIALS, MAIL, UNSUBSCRIBE, refusal
from tests.channels.samples import context
from tests.channels.scripted import Close, Reply, Request, ScriptedProvider

LAYOUT = f"<html><head>{'<style>p{{}}</style>' * 800}</head><body>%s</body></html>"  # more than fits into substitutions


def letter(number: int, **content: Any) -> OutboundMessage:
    own = {
        "subject": f"Offer {number}",
        "text": f"Hi {number}, look: https://r.example.org/{number}\nBye",
        "html": LAYOUT % f'<p>Hi {number}, <a href="https://r.example.org/{number}">look</a></p>',
        "headers": {**UNSUBSCRIBE, "List-Unsubscribe": f"<https://u.example.org/{number}>"},
    }
    return replace(MAIL, reference=UUID(int=number), to=f"p{number}@example.com", to_name="", content=own | content)


@pytest.fixture
def sender(provider: ScriptedProvider, http: httpx.AsyncClient) -> SendGridEmail:
    return SendGridEmail(CREDENTIALS, context(http, provider.url))


def outcomes(answers: Sequence[Receipt | SendError]) -> list[str | type[SendError]]:
    return [answer.provider_message_id if isinstance(answer, Receipt) else type(answer) for answer in answers]


def expanded(request: Request) -> dict[str, dict[str, str]]:
    """What each reference of a request gets, by the provider's rule: every tag is replaced by its value."""
    body = request.json()
    found = {}
    for personal in body["personalizations"]:
        values = {part["type"]: part["value"] for part in body["content"]}
        for tag, value in personal.get("substitutions", {}).items():
            values = {kind: text.replace(tag, value) for kind, text in values.items()}
        found[personal["custom_args"]["message_id"]] = {"to": personal["to"][0]["email"], **values}
    return found


class TestGroups:
    @SHARED
    @given(
        parts=st.lists(
            st.tuples(st.text("ab-é😀", max_size=6), st.none() | st.text("ab<é", max_size=8), st.sampled_from("xyz")),
            min_size=1,
            max_size=12,
        ),
        most=st.integers(50, 120),
    )
    def test_every_message_is_in_one_group_that_gives_back_its_words(
        self, parts: list[tuple[str, str | None, str]], most: int
    ) -> None:
        contents = [{"text": f"t{text}", "html": html} for text, html, _ in parts]
        people = [to for _, _, to in parts]
        before, batch.MOST_BYTES = batch.MOST_BYTES, most
        try:
            groups = batch.groups([(index, people[index], content) for index, content in enumerate(contents)])
        finally:
            batch.MOST_BYTES = before
        assert sorted(index for group in groups for index in group.contents) == list(range(len(parts)))
        for group in groups:
            assert len({people[index] for index in group.contents}) == len(group.contents)
            for index in group.contents:
                tags = group.substitutions(index)
                if len(group.contents) > 1:
                    assert sum(len(tag) + len(value.encode()) for tag, value in tags.items()) <= most
                given = {part["type"]: part["value"] for part in group.content()}
                for tag, value in tags.items():
                    given = {kind: text.replace(tag, value) for kind, text in given.items()}
                wanted = {"text/plain": contents[index]["text"], "text/html": contents[index]["html"]}
                assert given == {kind: text for kind, text in wanted.items() if text}

    def test_languages_get_a_request_each(self) -> None:
        layouts = {language: language * 12_000 for language in "abc"}
        messages = [
            (number, f"p{number}@x", {"text": "Hi", "html": layouts["abc"[number % 3]] + str(number)})
            for number in range(30)
        ]
        assert [len(group.contents) for group in batch.groups(messages)] == [10, 10, 10]

    def test_many_that_fit_nowhere_do_not_keep_others_from_finding_their_group(self) -> None:
        odd = [(number, f"o{number}@x", {"text": chr(256 + number) * 12_000}) for number in range(40)]
        alike = [(100 + number, f"p{number}@x", {"text": "a" * 12_000 + str(number)}) for number in range(10)]
        mixed = [message for pair in zip(odd[:10], alike, strict=True) for message in pair] + odd[10:]
        assert sorted(len(group.contents) for group in batch.groups(mixed)) == [1] * 40 + [10]


class TestWireFormat:
    async def test_everything_personal_travels_with_its_personalization(
        self, provider: ScriptedProvider, sender: SendGridEmail
    ) -> None:
        provider.will(ACCEPTED)
        letters = [letter(1), letter(22), letter(333)]
        assert outcomes(await sender.send_batch(letters)) == ["Zq1xTn8pQ0"] * 3
        (request,) = provider.requests
        body = request.json()
        assert (request.method, request.target, len(body["personalizations"])) == ("POST", "/v3/mail/send", 3)
        for message, personal in zip(letters, body["personalizations"], strict=True):
            assert personal["subject"] == message.content["subject"]
            assert personal["headers"] == message.content["headers"]
            assert personal["custom_args"]["settings_id"] == str(message.settings_id)
            size = sum(len(f"{tag}{value}".encode()) for tag, value in personal["substitutions"].items())
            assert size < 1_000
        assert expanded(request) == {
            str(message.reference): {
                "to": message.to,
                "text/plain": message.content["text"],
                "text/html": message.content["html"],
            }
            for message in letters
        }

    async def test_what_has_little_in_common_leaves_alone(
        self, provider: ScriptedProvider, sender: SendGridEmail
    ) -> None:
        provider.will(ACCEPTED)
        letters = [letter(1), letter(2, html="<p>" + "z" * 20_000), letter(3), letter(4, html=None)]
        assert outcomes(await sender.send_batch(letters)) == ["Zq1xTn8pQ0"] * 4
        assert [len(request.json()["personalizations"]) for request in provider.requests] == [2, 1, 1]
        assert all("substitutions" not in request.json()["personalizations"][0] for request in provider.requests[1:])

    async def test_nobody_is_twice_in_a_request(self, provider: ScriptedProvider, sender: SendGridEmail) -> None:
        provider.will(ACCEPTED)
        again = replace(letter(9), to="P1@Example.com")
        await sender.send_batch([letter(1), again, letter(2)])
        assert [len(request.json()["personalizations"]) for request in provider.requests] == [2, 1]

    async def test_message_that_cannot_be_an_e_mail_never_leaves(
        self, provider: ScriptedProvider, sender: SendGridEmail
    ) -> None:
        provider.will(ACCEPTED)
        wrong = [replace(letter(1), type=MessageType.LOCATION), letter(2), letter(3, subject="")]
        assert outcomes(await sender.send_batch(wrong)) == [UnsupportedFeature, "Zq1xTn8pQ0", MessageRejected]
        assert len(provider.requests) == 1

    @pytest.mark.parametrize(("name", "sent"), [("Sá; Ana, Dr", "Sá Ana Dr"), (";,", None)])
    async def test_marks_that_a_name_may_not_have_are_left_out(
        self, provider: ScriptedProvider, sender: SendGridEmail, name: str, sent: str | None
    ) -> None:
        provider.will(ACCEPTED)
        await sender.send(replace(MAIL, to_name=name))
        assert provider.requests[0].json()["personalizations"][0]["to"][0].get("name") == sent

    def test_a_thousand_at_most_are_declared(self) -> None:
        assert Feature.BATCH in SendGridEmail.features
        assert SendGridEmail.most_per_request == 1_000


def complaints(*fields: str) -> Reply:
    return Reply(400, {"errors": [{"message": "No.", "field": field, "help": None} for field in fields]})


LETTERS = [letter(number) for number in range(1, 5)]


class TestRefusals:
    async def test_those_at_fault_are_dropped_and_the_rest_is_sent(
        self, provider: ScriptedProvider, sender: SendGridEmail
    ) -> None:
        provider.will(complaints("personalizations.1.to.0.email", "personalizations.3.headers.Subject"), ACCEPTED)
        answers = await sender.send_batch(LETTERS)
        assert outcomes(answers) == ["Zq1xTn8pQ0", MessageRejected, "Zq1xTn8pQ0", MessageRejected]
        assert [getattr(answer, "suppress", None) for answer in answers] == [None, "invalid", None, None]
        assert [entry["to"] for entry in expanded(provider.requests[1]).values()] == [
            "p1@example.com",
            "p3@example.com",
        ]

    async def test_positions_are_of_the_request_that_was_refused(
        self, provider: ScriptedProvider, sender: SendGridEmail
    ) -> None:
        provider.will(complaints("personalizations.0"), complaints("personalizations.0"), ACCEPTED)
        assert outcomes(await sender.send_batch(LETTERS)) == [MessageRejected, MessageRejected, *["Zq1xTn8pQ0"] * 2]

    async def test_last_one_left_is_sent_alone(self, provider: ScriptedProvider, sender: SendGridEmail) -> None:
        provider.will(complaints("personalizations.0", "personalizations.1", "personalizations.2"), ACCEPTED)
        assert outcomes(await sender.send_batch(LETTERS)) == [*[MessageRejected] * 3, "Zq1xTn8pQ0"]
        assert "substitutions" not in provider.requests[1].json()["personalizations"][0]

    async def test_all_at_fault_ends_it(self, provider: ScriptedProvider, sender: SendGridEmail) -> None:
        provider.will(complaints(*(f"personalizations.{index}" for index in range(4))))
        assert outcomes(await sender.send_batch(LETTERS)) == [MessageRejected] * 4
        assert len(provider.requests) == 1

    @pytest.mark.parametrize(
        "reply",
        [
            complaints("content.0.value"),
            complaints("personalizations.1", "content"),
            complaints("personalizations.4"),
            complaints("personalizations"),
            Reply(400, b"<html>"),
            Reply(413),
        ],
    )
    async def test_when_nobody_in_particular_is_at_fault_each_alone_tells(
        self, provider: ScriptedProvider, sender: SendGridEmail, reply: Reply
    ) -> None:
        provider.will(reply, ACCEPTED, refusal(400, "content.0.value"), ACCEPTED)
        answers = await sender.send_batch(LETTERS)
        assert outcomes(answers) == ["Zq1xTn8pQ0", MessageRejected, *["Zq1xTn8pQ0"] * 2]
        assert [len(request.json()["personalizations"]) for request in provider.requests] == [4, 1, 1, 1, 1]

    async def test_each_alone_ends_at_a_limit(self, provider: ScriptedProvider, sender: SendGridEmail) -> None:
        provider.will(Reply(413), ACCEPTED, refusal(429))
        assert outcomes(await sender.send_batch(LETTERS)) == ["Zq1xTn8pQ0", *[RateLimited] * 3]
        assert len(provider.requests) == 3

    @pytest.mark.parametrize(
        ("step", "error"),
        [
            (refusal(429), RateLimited),
            (refusal(401), ProviderMisconfigured),
            (refusal(400, "from.email"), ProviderMisconfigured),
            (refusal(500), OutcomeUnknown),
            (Close(), OutcomeUnknown),
        ],
    )
    async def test_anything_else_is_the_answer_to_all_and_is_not_repeated(
        self, provider: ScriptedProvider, sender: SendGridEmail, step: Any, error: type[SendError]
    ) -> None:
        provider.will(step)
        assert outcomes(await sender.send_batch(LETTERS)) == [error] * 4
        assert provider.connections == 1

    async def test_unknown_outcome_of_the_rest_leaves_the_refused_ones_refused(
        self, provider: ScriptedProvider, sender: SendGridEmail
    ) -> None:
        provider.will(complaints("personalizations.2"), refusal(503))
        assert outcomes(await sender.send_batch(LETTERS)) == [
            OutcomeUnknown,
            OutcomeUnknown,
            MessageRejected,
            OutcomeUnknown,
        ]


def test_samples_share_most_of_their_words() -> None:
    contents: list[Mapping[str, Any]] = [message.content for message in LETTERS]
    assert all(len(content["html"]) > batch.MOST_BYTES for content in contents)
