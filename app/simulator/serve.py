"""What is common to every provider's endpoint: latency, faults, counting and the shape of an answer."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from app.simulator.behaviour import Fault
from app.simulator.refusal import Refusal
from app.simulator.sandbox import Sandbox

SANDBOX = web.AppKey("sandbox", Sandbox)


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` None is an empty body. `accepted` answers can be lost by a fault, others can't."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    accepted: bool = False


async def serve(
    request: web.Request,
    provider: str,
    work: Callable[[], Answer],
    fail: Callable[[Fault], Refusal],
    *,
    faulty: bool = True,
) -> web.Response:
    """Run `work` as the provider would: with its latency, and with the faults that were asked for, which are those of
    messages; with `faulty` false there are none."""
    sandbox = request.app[SANDBOX]
    reading = request.method == "GET"
    fault = sandbox.faults.take(provider, "before", reading=reading) if faulty else None
    if fault is not None:
        answer = _refused(sandbox, provider, fail(fault), injected=True)
    else:
        try:
            answer = work()
        except Refusal as refusal:
            answer = _refused(sandbox, provider, refusal)
        if answer.accepted:
            fault = sandbox.faults.take(provider, "after")
    if fault is not None and fault.kind in ("hang", "reset"):
        await _lose(request, sandbox, fault)
    elif fault is not None and fault.after_accept:
        answer = _refused(sandbox, provider, fail(fault), injected=True)
    if sandbox.behaviour.latency_ms:
        await asyncio.sleep(sandbox.behaviour.latency_ms / 1_000)
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    if isinstance(answer.body, str):
        return web.Response(status=answer.status, headers=answer.headers, text=answer.body)
    headers = {"Content-Type": "application/json; charset=utf-8", **answer.headers}
    return web.Response(status=answer.status, headers=headers, body=orjson.dumps(answer.body))


def _refused(sandbox: Sandbox, provider: str, refusal: Refusal, injected: bool = False) -> Answer:
    if refusal.throttled or not injected:  # an injected error is counted under `faults`
        sandbox.ledger.reject(provider, refusal.code, refusal.throttled)
    return Answer(refusal.status, refusal.body, refusal.headers)


async def _lose(request: web.Request, sandbox: Sandbox, fault: Fault) -> None:
    """Drop the connection without an answer, though the message was accepted."""
    if fault.kind == "hang":
        try:
            async with asyncio.timeout(fault.seconds):
                await sandbox.stopping.wait()
        except TimeoutError:
            pass
    if request.transport is not None:
        request.transport.abort()
