"""The provider client on real sockets: what is never repeated, and what each failure means."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from app.channels.http import MOST_WAIT, exchange, provider_client, retry_after
from app.errors import OutcomeUnknown, ProviderUnavailable
from tests.channels.scripted import Close, Drip, Hang, Reply, ScriptedProvider


def post(url: str) -> httpx.Request:
    return httpx.Request("POST", url, content=b"{}")


class TestExchange:
    async def test_any_status_is_an_answer(self, provider: ScriptedProvider, http: httpx.AsyncClient) -> None:
        provider.will(Reply(418, b"tea"))
        response = await exchange(http, post(provider.url))
        assert (response.status_code, response.content) == (418, b"tea")

    async def test_unknown_host_is_unavailable(self, http: httpx.AsyncClient) -> None:
        with pytest.raises(ProviderUnavailable) as caught:
            await exchange(http, post("http://no-such-host.invalid/"))
        assert caught.value.provider_code == ""  # it said nothing

    async def test_failed_handshake_is_unavailable(
        self, provider: ScriptedProvider, hasty_http: httpx.AsyncClient
    ) -> None:
        provider.will(Close())
        with pytest.raises(ProviderUnavailable):
            await exchange(hasty_http, post(provider.url.replace("http:", "https:")))

    async def test_busy_pool_is_unavailable(self, provider: ScriptedProvider) -> None:
        provider.will(Hang())
        # the connection in use is let go by its read timeout, later than the other request gives up waiting for it
        async with provider_client(concurrency=1, timeout_seconds=0.6) as http:
            http.timeout = httpx.Timeout(0.6, connect=0.3, pool=0.3)
            first, second = await asyncio.gather(
                exchange(http, post(provider.url)), exchange(http, post(provider.url)), return_exceptions=True
            )
        assert [type(first), type(second)] == [OutcomeUnknown, ProviderUnavailable]
        assert len(provider.requests) == 1

    async def test_dripping_answer_is_given_up(self, provider: ScriptedProvider) -> None:
        provider.will(Drip())
        async with provider_client(concurrency=1, timeout_seconds=0.2) as http:
            with pytest.raises(OutcomeUnknown):
                await exchange(http, post(provider.url))

    async def test_idle_connection_closed_by_the_provider_never_repeats_a_post(
        self, provider: ScriptedProvider, http: httpx.AsyncClient
    ) -> None:
        provider.will(Reply(200), Close(), Reply(200))
        await exchange(http, post(provider.url))
        with pytest.raises(OutcomeUnknown):
            await exchange(http, post(provider.url))
        assert (provider.connections, len(provider.requests)) == (1, 2)

    async def test_failed_get_may_be_repeated(self, provider: ScriptedProvider, hasty_http: httpx.AsyncClient) -> None:
        provider.will(Hang())
        with pytest.raises(ProviderUnavailable):
            await exchange(hasty_http, httpx.Request("GET", provider.url))

    async def test_connections_are_kept(self, provider: ScriptedProvider, http: httpx.AsyncClient) -> None:
        provider.will(Reply(200))
        for _ in range(5):
            await exchange(http, post(provider.url))
        assert (provider.connections, len(provider.requests)) == (1, 5)

    async def test_cancelled_read_gives_its_connection_back(self, provider: ScriptedProvider) -> None:
        async with provider_client(concurrency=1, timeout_seconds=20) as http:
            provider.will(Drip())
            task = asyncio.create_task(exchange(http, post(provider.url)))
            while not provider.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            provider.will(Reply(200))
            assert (await exchange(http, post(provider.url))).status_code == 200

    async def test_cookies_of_one_tenant_never_reach_another(
        self, provider: ScriptedProvider, http: httpx.AsyncClient
    ) -> None:
        provider.will(Reply(200, b"", {"set-cookie": "session=1; Path=/"}))
        address = provider.url.replace("127.0.0.1", "localhost")
        await exchange(http, post(address))
        await exchange(http, post(address))
        assert "cookie" not in provider.requests[1].headers


class TestProviderClient:
    async def test_loopback_needs_no_proxy(self, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        provider.will(Reply(200))
        async with provider_client(concurrency=1, timeout_seconds=20) as http:
            assert (await exchange(http, post(provider.url))).status_code == 200

    async def test_other_hosts_go_through_the_proxy(
        self, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", provider.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        provider.will(Reply(200))
        async with provider_client(concurrency=1, timeout_seconds=20) as http:
            await exchange(http, post("http://api.provider.invalid/v1"))
        assert provider.requests[0].target == "http://api.provider.invalid/v1"


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("headers", "wait"),
        [
            ({"retry-after": "12"}, timedelta(seconds=12)),
            ({"retry-after": "0.5"}, timedelta(seconds=0.5)),
            ({"retry-after": "Thu, 01 Jan 2015 00:00:00 GMT"}, timedelta()),
            ({"x-ratelimit-reset": "1400000000"}, timedelta()),
            ({"retry-after": "soon"}, None),
            ({"retry-after": "9" * 400}, None),
            ({"retry-after": "1" + "0" * 12}, MOST_WAIT),
            ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, MOST_WAIT),
            ({"x-ratelimit-reset": "nan"}, None),
            ({}, None),
        ],
    )
    def test_headers_are_read(self, headers: dict[str, str], wait: timedelta | None) -> None:
        assert retry_after(httpx.Response(429, headers=headers)) == wait

    def test_date_is_a_wait_from_now(self) -> None:
        later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
        wait = retry_after(httpx.Response(429, headers={"retry-after": later}))
        assert wait
        assert timedelta(minutes=50) < wait <= timedelta(hours=1)
