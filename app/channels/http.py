"""The process's one HTTP client to providers, and the one place that says what a failed exchange means.

Nothing here ever sends a request twice: redirects are not followed, and aiohttp repeats only idempotent methods.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar
from ssl import SSLContext
from typing import Any
from urllib.request import Request

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient
from httpx_aiohttp.transport import map_aiohttp_exceptions

from app.errors import OutcomeUnknown, ProviderUnavailable

CONNECT_SECONDS = 5.0
# Shorter than the idle timeout of common servers (5 s): a POST on a connection that the server is just closing
# fails with an unknown outcome, so a connection is given up before the server thinks of it.
KEEP_ALIVE_SECONDS = 4.0
MOST_WAIT = timedelta(days=31)  # that a provider can ask for; a date far beyond could not even be added to now
FILE_SECONDS = 600.0  # 100 MB at less than 2 Mbit/s

# aiohttp raises these while it waits for, opens or secures a connection: no byte of the request has left.
# httpx-aiohttp reports them *and* later resets alike as httpx.ConnectTimeout, so only the cause can tell them apart.
BEFORE_SENDING = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
SAFE_METHODS = frozenset({"GET", "HEAD"})
LOOPBACK_IS_DIRECT: dict[str, None] = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}


class NoCookies(CookieJar):
    """Keeps none: one client serves every tenant."""

    def extract_cookies(self, response: Any, request: Request) -> None:
        pass

    def add_cookie_header(self, request: Request) -> None:
        pass


class WholeAnswers(AiohttpTransport):
    """Reads each answer to its end before it hands it over: no adapter streams, and streaming is a third of the
    processor time of a send."""

    def __init__(self, session: Callable[[], aiohttp.ClientSession], timeout: httpx.Timeout, tls: SSLContext) -> None:
        super().__init__(verify=tls, client=session)
        # `total` counts from the start and bounds a provider that drips, which a read timeout never would
        total = timeout.connect + timeout.read if timeout.connect and timeout.read else None
        self._timeout = aiohttp.ClientTimeout(total=total, sock_connect=timeout.connect, connect=timeout.pool)
        self._for_files = aiohttp.ClientTimeout(total=FILE_SECONDS, sock_connect=timeout.connect, connect=timeout.pool)
        self._through: dict[str, Any] = {}

    def through(self, proxy: httpx.Proxy) -> "WholeAnswers":
        auth = aiohttp.BasicAuth(*proxy.auth) if proxy.auth else None
        self._through = {"proxy": str(proxy.url), "proxy_auth": auth, "proxy_headers": proxy.headers}
        return self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        data: Any
        timeout = self._timeout
        try:
            data = request.content or None
        except httpx.RequestNotRead:  # a file, which leaves piece by piece
            timeout, data = self._for_files, request.stream
        with map_aiohttp_exceptions():
            response = await self.client.request(
                request.method,
                str(request.url),
                headers=request.headers,
                data=data,
                allow_redirects=False,
                auto_decompress=False,
                timeout=timeout,
                **self._through,
            )
            body = await response.read()  # gives the connection back, and closes it when that fails
        return httpx.Response(response.status, headers=response.raw_headers, content=body, request=request)


class ProviderClient(HttpxAiohttpClient):
    """httpx on aiohttp, with the proxies of the environment: httpx leaves them out when it is given a transport."""

    def __init__(self, *, concurrency: int, timeout: httpx.Timeout) -> None:
        self._concurrency = concurrency
        self._tls = httpx.create_ssl_context()
        self._limits = timeout
        super().__init__(timeout=timeout, cookies=NoCookies(), mounts=LOOPBACK_IS_DIRECT, follow_redirects=False)

    def _init_transport(self, *args: Any, **kwargs: Any) -> httpx.AsyncBaseTransport:
        return WholeAnswers(self._session, self._limits, self._tls)

    def _init_proxy_transport(self, proxy: httpx.Proxy, *args: Any, **kwargs: Any) -> httpx.AsyncBaseTransport:
        return WholeAnswers(self._session, self._limits, self._tls).through(proxy)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """One request, one whole answer. Without options it leaves out httpx's layers for authentication, redirects,
        cookies and hooks, which no adapter uses: they cost as much as a quarter of a send."""
        if options:
            return await super().send(request, **options)
        return await self._transport_for_url(request.url).handle_async_request(request)

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=self._concurrency, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=self._tls)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def provider_client(*, concurrency: int, timeout_seconds: float) -> httpx.AsyncClient:
    """A client for `concurrency` simultaneous requests, each waiting at most `timeout_seconds` for its answer.

    Proxies of the environment are honoured, except for loopback. Close it with `aclose()`.
    """
    connect = min(CONNECT_SECONDS, timeout_seconds)
    timeout = httpx.Timeout(timeout_seconds, connect=connect, pool=connect)
    return ProviderClient(concurrency=concurrency, timeout=timeout)


async def exchange(http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Send `request` once and read the whole answer, whatever its status.

    Raises ProviderUnavailable when the request surely never left (or may be repeated, being a GET) and
    OutcomeUnknown when it may have. Neither has a `provider_code`: the provider said nothing.
    """
    try:
        return await http.send(request)
    except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
        cause = (error.__cause__ if isinstance(error, httpx.HTTPError) else None) or error
        detail = f"{request.method} {request.url.host}: {type(cause).__name__}: {cause}".rstrip(": ")
        if isinstance(cause, BEFORE_SENDING) or request.method in SAFE_METHODS:
            raise ProviderUnavailable(detail) from error
        raise OutcomeUnknown(detail) from error


def retry_after(response: httpx.Response) -> timedelta | None:
    """How long the provider asks to wait: `Retry-After` (seconds or a date) or `X-RateLimit-Reset` (Unix seconds)."""
    now = datetime.now(UTC)
    try:
        if value := response.headers.get("retry-after"):
            wait = timedelta(seconds=float(value)) if value[0].isdigit() else parsedate_to_datetime(value) - now
        elif value := response.headers.get("x-ratelimit-reset"):
            wait = datetime.fromtimestamp(float(value), UTC) - now
        else:
            return None
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return min(max(wait, timedelta()), MOST_WAIT)
