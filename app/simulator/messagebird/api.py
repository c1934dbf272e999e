"""The messages of the SMS API: create, read and list."""

import time
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from app.simulator.accounts import MESSAGEBIRD, Account
from app.simulator.behaviour import Fault
from app.simulator.messagebird.checks import STATUSES, read_message, refuse
from app.simulator.messagebird.events import new_id, schedule_reports, timeline
from app.simulator.messagebird.store import as_resource
from app.simulator.refusal import Refusal
from app.simulator.sandbox import Sandbox
from app.simulator.serve import SANDBOX, Answer, serve
from app.simulator.twilio.segments import segment_count

POSTS_PER_SECOND, GETS_PER_SECOND = 500.0, 50.0  # of an account: UNCONFIRMED today
PAGE_SIZE, MAX_PAGE = 20, 200


def add_routes(app: web.Application) -> None:
    app.router.add_post("/messages", create_message)
    app.router.add_get("/messages", list_messages)
    app.router.add_get("/messages/{id}", fetch_message)


async def create_message(request: web.Request) -> web.Response:
    body = await request.read()
    return await serve(request, MESSAGEBIRD, lambda: accept_message(request.app[SANDBOX], request, body), _fail)


async def list_messages(request: web.Request) -> web.Response:
    return await serve(request, MESSAGEBIRD, lambda: list_page(request.app[SANDBOX], request), _fail)


async def fetch_message(request: web.Request) -> web.Response:
    return await serve(request, MESSAGEBIRD, lambda: describe(request.app[SANDBOX], request), _fail)


def authorize(sandbox: Sandbox, request: web.Request) -> Account:
    """The account of the access key. Raises Refusal, also when it asks too often."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    account = sandbox.accounts.get(MESSAGEBIRD, key.strip()) if scheme.lower() == "accesskey" else None
    if account is None:
        raise refuse(2, "Request not allowed (incorrect access_key)", "access_key")
    reading = request.method == "GET"
    rate = GETS_PER_SECOND if reading else account.messages_per_second or sandbox.behaviour.messages_per_second
    bucket = f"{account.id} GET" if reading else account.id
    if not sandbox.limits.allow(bucket, rate or POSTS_PER_SECOND, time.time()):
        raise _too_many()
    return account


def _too_many(retry_after: int | None = None) -> Refusal:
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
    body = {"errors": [{"description": "Too many requests", "parameter": None}]}
    return Refusal(429, 429, body, headers=headers, throttled=True)


def accept_message(sandbox: Sandbox, request: web.Request, body: bytes) -> Answer:
    """Count every recipient, then report on each; they have one message id in common."""
    account = authorize(sandbox, request)
    asked, now = read_message(body), time.time()
    addresses = [f"+{number}" for number in asked["recipients"]]
    plans = {address: sandbox.plan("sms", address) for address in addresses}
    message: dict[str, Any] = {
        **asked,
        "id": new_id(),
        "account": account.id,
        "created": now,
        "parts": segment_count(asked["body"]),
        "recipients": [
            {"to": address, "timeline": timeline(sandbox, account, address, now, plan)}
            for address, plan in plans.items()
        ],
    }
    reference = asked["reference"] or ""
    sandbox.journal.write(
        *(sandbox.accept(account, "sms", address, reference, message["id"], message) for address in addresses)
    )
    sandbox.messagebird_messages.add(message)
    for address, plan in plans.items():
        schedule_reports(sandbox, account, message, address, plan)
    return Answer(201, as_resource(message, now, _base_url(request)), accepted=True)


def describe(sandbox: Sandbox, request: web.Request) -> Answer:
    account = authorize(sandbox, request)
    message = sandbox.messagebird_messages.get(account.id, request.match_info["id"])
    if message is None:
        raise refuse(20, "message not found")
    return Answer(200, as_resource(message, time.time(), _base_url(request)))


def list_page(sandbox: Sandbox, request: web.Request) -> Answer:
    """One page, newest first. The shape around `items` is known from client libraries only: UNCONFIRMED."""
    account, query = authorize(sandbox, request), dict(request.query)
    limit, offset = _number(query, "limit", PAGE_SIZE), _number(query, "offset", 0)
    if not 1 <= limit <= MAX_PAGE:
        raise refuse(10, f"limit must be between 1 and {MAX_PAGE}", "limit")
    found = sandbox.messagebird_messages.find(account.id, query, _time(query, "from"), _time(query, "until"))
    now, base_url = time.time(), _base_url(request)
    items = [as_resource(message, now, base_url) for message in found[offset : offset + limit]]
    following = str(request.url.update_query(offset=offset + limit)) if offset + limit < len(found) else None
    return Answer(
        200,
        {
            "offset": offset,
            "limit": limit,
            "count": len(items),
            "totalCount": len(found),
            "links": {"first": str(request.url.update_query(offset=0)), "previous": None, "next": following},
            "items": items,
        },
    )


def _base_url(request: web.Request) -> str:
    return str(request.url.origin())


def _number(query: dict[str, str], name: str, default: int) -> int:
    given = query.get(name, str(default))
    if not given.isdecimal() or len(given) > 9:
        raise refuse(10, f"{name} must be a number", name)
    return int(given)


def _time(query: dict[str, str], name: str) -> float | None:
    """Whole seconds, as the times of messages are."""
    if name not in query:
        return None
    try:
        moment = datetime.fromisoformat(query[name])
    except ValueError:
        raise refuse(10, f"{name} must be an RFC 3339 time", name) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _fail(fault: Fault) -> Refusal:
    if fault.kind == "throttle":
        return _too_many(fault.retry_after)
    code = fault.code if fault.code in STATUSES else 99
    body = {"errors": [{"code": code, "description": "Something went wrong", "parameter": None}]}
    return Refusal(fault.status, code, body)
