"""What every adapter promises, whatever its provider.

A provider's own test class derives from `AdapterContract`; one whose provider is not reached over HTTP, from
`PortContract`.
"""

import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import httpx
import orjson
import pytest
from httpx_aiohttp import AiohttpTransport
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.channels.base import Adapter, Feature, OutboundMessage, WebhookEvent, WebhookRequest
from app.channels.registry import ADAPTERS
from app.domain.status import SuppressionReason
from app.errors import (
    InvalidSignature,
    Malformed,
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    SendError,
    UnsupportedFeature,
)
from tests.channels.samples import PAYLOADS, REFERENCE, context, webhook
from tests.channels.scripted import Close, Hang, Raw, Reply, Request, Reset, ScriptedProvider, Step, free_port

SHARED = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow]
)
# NUL and lone surrogates are legal in JSON, and neither can be stored
TEXT = st.text(st.characters(exclude_categories=[]), max_size=20) | st.sampled_from(["\x00", "\ud83d", "1790000000"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SERVER_ERRORS = (500, 502, 503, 504)
# Anything that happens after the request has left, and leaves it open whether it was accepted
AFTER_SENDING: dict[str, Step] = {
    "closed without an answer": Close(),
    "reset": Reset(),
    "reset before it was read": Reset(unread=True),  # our side cannot see how far the provider got
    "no answer in time": Hang(),
    "half an answer": Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{"),
    "no HTTP": Raw(b"220 mail.example.org ESMTP\r\n\r\n"),
    "broken compression": Raw(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc"),
}


@functools.cache
def offline() -> httpx.AsyncClient:
    """A client for adapters that only read webhooks: it never opens a connection."""
    return httpx.AsyncClient(transport=AiohttpTransport(), trust_env=False)


class PortContract(ABC):
    """What it declares, and how it reads webhooks."""

    adapter: ClassVar[type[Adapter]]
    credentials: ClassVar[Mapping[str, str]]
    payload_headers: ClassVar[Mapping[str, str]]  # of a webhook, as keywords of `webhook`
    signature_header: ClassVar[str]

    @abstractmethod
    def sign(self, request: WebhookRequest) -> WebhookRequest:
        """The request as the provider would have signed it."""

    def receiver(self, **changed: str) -> Adapter:
        return self.adapter({**self.credentials, **changed}, context(offline(), "http://127.0.0.1:9"))

    def payloads(self) -> dict[str, WebhookRequest]:
        files = sorted((PAYLOADS / self.adapter.provider).iterdir())
        assert files
        return {file.name: self.recorded(file.name, file.read_bytes()) for file in files}

    def recorded(self, name: str, data: bytes) -> WebhookRequest:
        """The request that a file was recorded from."""
        return webhook(data, **self.payload_headers)

    # --- what it declares

    def test_registry_knows_it(self) -> None:
        assert ADAPTERS[self.adapter.channel, self.adapter.provider] is self.adapter

    def test_secrets_are_among_its_credentials(self) -> None:
        assert self.adapter.secret_credentials <= self.adapter.required_credentials | self.adapter.optional_credentials

    def test_complete_credentials_have_no_problems(self) -> None:
        assert self.adapter.check_credentials(self.credentials) == []

    def test_each_missing_credential_is_named(self) -> None:
        for name in self.adapter.required_credentials:
            rest = {key: value for key, value in self.credentials.items() if key != name}
            assert any(f"credentials.{name} " in problem for problem in self.adapter.check_credentials(rest))

    def test_credentials_that_break_a_header_are_named(self) -> None:
        broken = {name: f"{value}\r\nX-Evil: 1" for name, value in self.credentials.items()}
        assert self.adapter.check_credentials(broken)

    # --- verify

    def test_genuine_webhook_is_accepted(self) -> None:
        for request in self.payloads().values():
            self.receiver().verify(self.sign(request))

    @SHARED
    @given(data=st.data())
    def test_one_changed_byte_is_refused(self, data: st.DataObject) -> None:
        request = self.sign(data.draw(st.sampled_from(list(self.payloads().values()))))
        signed = bytearray(request.body or request.url.encode())  # without a body, the address says it all
        signed[data.draw(st.integers(0, len(signed) - 1))] ^= 1
        changed: dict[str, Any] = {"body": bytes(signed)} if request.body else {"url": signed.decode()}
        with pytest.raises(InvalidSignature):
            self.receiver().verify(replace(request, **changed))

    @SHARED
    @given(signature=TEXT)
    def test_made_up_signature_is_refused(self, signature: str) -> None:
        request = self.sign(next(iter(self.payloads().values())))
        forged = {**request.headers, self.signature_header: signature}
        with pytest.raises(InvalidSignature):
            self.receiver().verify(replace(request, headers=forged))

    def test_missing_signature_is_refused(self) -> None:
        for request in self.payloads().values():
            headers = {
                name: value for name, value in self.sign(request).headers.items() if name != self.signature_header
            }
            with pytest.raises(InvalidSignature):
                self.receiver().verify(replace(request, headers=headers))

    # --- parse

    def test_recorded_payloads_give_reports_with_stable_and_distinct_keys(self) -> None:
        for name, request in self.payloads().items():
            events = self.receiver().parse(request)
            assert events, name
            assert [event.key for event in events] == [event.key for event in self.receiver().parse(request)]
            assert len({event.key for event in events}) == len(events), name

    def test_recorded_payloads_name_their_accounts(self) -> None:
        for request in self.payloads().values():
            named = self.adapter.account_hints(request)
            accounts = {
                str(event.data["account"]) for event in self.receiver().parse(request) if "account" in event.data
            }
            assert accounts == set(named)

    @SHARED
    @given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
    def test_any_body_is_read_or_called_malformed(self, body: bytes) -> None:
        self.read(body)

    @SHARED
    @given(data=st.data())
    def test_recorded_payload_with_a_strange_part_is_read_or_called_malformed(self, data: st.DataObject) -> None:
        requests = [request for name, request in self.payloads().items() if name.endswith(".json")]
        if requests:
            tree = json.loads(data.draw(st.sampled_from(requests)).body)
            path = data.draw(st.sampled_from(list(_paths(tree))))
            self.read(json.dumps(_changed(tree, path, data.draw(JSON))).encode())

    def test_endlessly_nested_body_is_malformed(self) -> None:
        for body in (b"[" * 100_000, b'{"a":' * 100_000, b'"\\ud83d"' + b"[" * 100_000):
            self.read(body)

    def read(self, body: bytes) -> None:
        """Whatever the body, every event of it can be stored, and nothing but Malformed is raised."""
        request = webhook(body, **self.payload_headers)
        try:
            self.adapter.account_hints(request)
            events = self.receiver().parse(request)
        except Malformed as error:
            assert error.detail  # noqa: PT017
            return
        for event in events:
            assert_storable(event)


class AdapterContract(PortContract):
    """The same, and how it sends over HTTP."""

    message: ClassVar[OutboundMessage]
    accepted: ClassVar[Reply]
    accepted_id: ClassVar[str]
    refused: ClassVar[Reply]  # for good, because of the message
    refused_code: ClassVar[str]
    refused_words: ClassVar[str]

    @abstractmethod
    def reference_in(self, request: Request) -> str:
        """Our reference, where the provider was asked to echo it."""

    @pytest.fixture
    def sender(self, provider: ScriptedProvider, http: httpx.AsyncClient) -> Adapter:
        return self.adapter(self.credentials, context(http, provider.url))

    async def test_accepted_message_gives_a_receipt(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(self.accepted)
        receipt = await sender.send(self.message)
        assert receipt.provider_message_id == self.accepted_id
        assert len(provider.requests) == 1

    async def test_reference_travels_with_the_message(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(self.accepted)
        await sender.send(self.message)
        assert self.reference_in(provider.requests[0]) == str(REFERENCE)

    async def test_refused_message_is_rejected_in_the_words_of_the_provider(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(self.refused)
        with pytest.raises(MessageRejected) as caught:
            await sender.send(self.message)
        assert caught.value.provider_code == self.refused_code
        assert self.refused_words in caught.value.detail

    async def test_unreachable_provider_is_unavailable(self, http: httpx.AsyncClient) -> None:
        sender = self.adapter(self.credentials, context(http, f"http://127.0.0.1:{free_port()}"))
        with pytest.raises(ProviderUnavailable):
            await sender.send(self.message)

    @pytest.mark.parametrize("what", AFTER_SENDING)
    async def test_lost_answer_is_an_unknown_outcome_and_is_not_repeated(
        self, provider: ScriptedProvider, hasty_http: httpx.AsyncClient, what: str
    ) -> None:
        provider.will(AFTER_SENDING[what])
        sender = self.adapter(self.credentials, context(hasty_http, provider.url))
        with pytest.raises(OutcomeUnknown):
            await sender.send(self.message)
        assert provider.connections == 1

    @pytest.mark.parametrize("status", SERVER_ERRORS)
    @pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>"], ids=["empty", "html"])
    async def test_server_error_without_words_is_an_unknown_outcome(
        self, provider: ScriptedProvider, sender: Adapter, status: int, body: bytes
    ) -> None:
        provider.will(Reply(status, body))
        with pytest.raises(OutcomeUnknown) as caught:
            await sender.send(self.message)
        assert str(status) in caught.value.detail
        assert len(provider.requests) == 1

    async def test_throttling_says_how_long_to_wait(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(Reply(429, b"", {"retry-after": "7"}))
        with pytest.raises(RateLimited) as caught:
            await sender.send(self.message)
        assert caught.value.retry_after == timedelta(seconds=7)
        assert not caught.value.recipient_only

    @pytest.mark.parametrize("status", [401, 403])
    async def test_refused_credentials_are_a_matter_of_the_sender(
        self, provider: ScriptedProvider, sender: Adapter, status: int
    ) -> None:
        provider.will(Reply(status))
        with pytest.raises(ProviderMisconfigured):
            await sender.send(self.message)

    async def test_redirect_is_not_followed(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(Reply(307, b"", {"location": f"{provider.url}/elsewhere"}))
        with pytest.raises(ProviderMisconfigured):
            await sender.send(self.message)
        assert len(provider.requests) == 1

    async def test_batch_answers_each_of_its_messages_or_is_not_supported(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(self.accepted)
        batch = [replace(self.message, reference=UUID(int=number), content={}) for number in range(3)]
        if Feature.BATCH not in self.adapter.features:
            with pytest.raises(UnsupportedFeature):
                await sender.send_batch(batch)
        else:
            answers = await sender.send_batch(batch)
            assert len(answers) == len(batch)
            assert all(isinstance(answer, SendError) for answer in answers)
        assert provider.requests == []

    async def test_message_without_content_never_leaves(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(self.accepted)
        with pytest.raises(SendError):
            await sender.send(replace(self.message, content={}))
        assert provider.requests == []


def assert_storable(event: WebhookEvent) -> None:
    assert event.key
    assert event.occurred_at.utcoffset() == timedelta()
    assert event.suppress in {"", *SuppressionReason}
    texts = [event.key, event.address, event.text, event.error_detail, event.profile_name, event.reference]
    stored = orjson.dumps([texts, dict(event.data), dict(event.raw)])
    assert "\0" not in _texts(orjson.loads(stored))


def _texts(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(name + _texts(inner) for name, inner in value.items())
    if isinstance(value, list):
        return "".join(map(_texts, value))
    return value if isinstance(value, str) else ""


Path = tuple[str | int, ...]


def _paths(tree: Any, path: Path = ()) -> list[Path]:
    found = [path]
    if isinstance(tree, dict):
        found += [inner for name, value in tree.items() for inner in _paths(value, (*path, name))]
    if isinstance(tree, list):
        found += [inner for index, value in enumerate(tree) for inner in _paths(value, (*path, index))]
    return found


def _changed(tree: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    *parents, last = path
    place = functools.reduce(lambda branch, name: branch[name], parents, tree)
    place[last] = value
    return tree
