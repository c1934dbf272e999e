"""The endpoint that sends one e-mail."""

import re
import time
import uuid
from typing import Any

import orjson
from aiohttp import web

from app.simulator.accounts import RESEND, Account
from app.simulator.behaviour import Fault
from app.simulator.refusal import Refusal
from app.simulator.resend.checks import address_in, check_mail, recipients, refuse
from app.simulator.resend.events import schedule_events
from app.simulator.resend.keys import digest_of
from app.simulator.sandbox import Sandbox
from app.simulator.serve import SANDBOX, Answer, serve

REQUESTS_PER_SECOND = 10.0  # of a team, unless it was raised
MAX_KEY = 256
NAMES = {
    400: "validation_error", 401: "missing_api_key", 403: "invalid_api_key", 404: "not_found", 409: "resource_locked",
    422: "missing_required_field", 503: "service_unavailable",
}  # fmt: skip
LIST_UNSUBSCRIBE = re.compile(r"<(https?://[^>]+)>")
HREF = re.compile(r"""href=["'](https?://[^"']+)["']""")


def add_routes(app: web.Application) -> None:
    app.router.add_post("/emails", send_email)


async def send_email(request: web.Request) -> web.Response:
    """A key is under way until its request has its answer, or has lost it."""
    sandbox, body = request.app[SANDBOX], await request.read()
    begun: list[tuple[str, str]] = []
    try:
        return await serve(request, RESEND, lambda: accept_email(sandbox, request, body, begun), _fail)
    finally:
        sandbox.resend_keys.under_way.difference_update(begun)


def accept_email(sandbox: Sandbox, request: web.Request, body: bytes, begun: list[tuple[str, str]]) -> Answer:
    account = _authorize(sandbox, request)
    limits = _limit(sandbox, account)
    try:
        return _accept_within_limits(sandbox, account, request, body, begun, limits)
    except Refusal as refusal:
        refusal.headers = {**limits, **refusal.headers}
        raise


def _authorize(sandbox: Sandbox, request: web.Request) -> Account:
    if not request.headers.get("User-Agent"):
        raise Refusal(403, "1010", "error code: 1010")  # the edge, not the API
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise refuse(401, "missing_api_key", "Missing API key in the authorization header.")
    account = sandbox.accounts.get(RESEND, key.strip())
    if account is None:
        raise refuse(403, "invalid_api_key", "API key is invalid.")
    return account


def _limit(sandbox: Sandbox, account: Account) -> dict[str, str]:
    """Count the request; the headers that every answer has. Raises Refusal."""
    rate = account.messages_per_second or sandbox.behaviour.messages_per_second or REQUESTS_PER_SECOND
    allowed = sandbox.limits.allow(f"{RESEND} {account.id}", rate, time.time())
    headers = {
        "ratelimit-limit": str(int(rate) or 1),
        "ratelimit-remaining": str(sandbox.limits.remaining(f"{RESEND} {account.id}")),
        "ratelimit-reset": "1",
    }
    if not allowed:
        message = f"Too many requests. You can only make {rate:g} requests per second."
        raise refuse(429, "rate_limit_exceeded", message, {**headers, "retry-after": "1"})
    return headers


def _accept_within_limits(
    sandbox: Sandbox,
    account: Account,
    request: web.Request,
    body: bytes,
    begun: list[tuple[str, str]],
    limits: dict[str, str],
) -> Answer:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        raise refuse(400, "invalid_idempotency_key", "The idempotency key must be between 1-256 characters.")
    lifetime, now = sandbox.behaviour.resend_key_seconds, time.time()
    verdict, email_id = sandbox.resend_keys.judge(account.id, key or "", body, lifetime=lifetime, now=now)
    if verdict == "under_way":
        message = "Same idempotency key used while original request is still in progress."
        raise refuse(409, "concurrent_idempotent_requests", message)
    if verdict == "other":
        message = "Same idempotency key used with a different request payload."
        raise refuse(409, "invalid_idempotent_request", message)
    if verdict == "new":
        email_id = _accept(sandbox, account, _checked(account, request, body), key or "", body, now)
        if key:
            begun.append((account.id, key))
            sandbox.resend_keys.under_way.add((account.id, key))
    return Answer(200, {"id": email_id}, limits, accepted=True)


def _checked(account: Account, request: web.Request, body: bytes) -> dict[str, Any]:
    try:
        mail = orjson.loads(body) if request.content_type == "application/json" else None
    except orjson.JSONDecodeError:
        mail = None
    if not isinstance(mail, dict):
        raise refuse(400, "validation_error", "The request body must be a JSON object.")
    check_mail(mail)
    domain = (address_in(mail["from"]) or "").rpartition("@")[2]
    own = account.credentials["from_email"].lower().rpartition("@")[2]
    if domain != own and domain not in {entry.lower() for entry in account.verified_senders}:
        message = f"The {domain} domain is not verified. Please, add and verify your domain."
        raise refuse(403, "validation_error", message)
    return mail


def _accept(sandbox: Sandbox, account: Account, mail: dict[str, Any], key: str, body: bytes, now: float) -> str:
    """Count every recipient, then report on each; they have one e-mail id in common."""
    email_id = str(uuid.uuid4())
    tags = {tag["name"]: tag["value"] for tag in mail.get("tags") or []}
    records, told = [], []
    for address in recipients(mail):
        facts = {
            "id": email_id,
            "at": now,
            "key": key,
            "digest": digest_of(body),
            "from": mail["from"],
            "to": mail["to"] if isinstance(mail["to"], list) else [mail["to"]],
            "subject": mail["subject"],
            "tags": tags,
            "one_click": _one_click(mail.get("headers") or {}),
            "link": _first_link(mail.get("html") or ""),
        }
        plan = sandbox.plan("email", address)
        records.append(sandbox.accept(account, "email", address, tags.get("message_id", ""), email_id, facts))
        told.append((address, facts, plan))
    sandbox.resend_keys.keep(account.id, records[0]["m"])
    sandbox.journal.write(*records)
    for address, facts, plan in told:
        schedule_events(sandbox, account, address, facts, plan)
    return email_id


def _one_click(headers: dict[str, str]) -> str:
    """The URL of RFC 8058: only where the second header allows a POST without a question."""
    lower = {name.lower(): value for name, value in headers.items()}
    found = LIST_UNSUBSCRIBE.search(lower.get("list-unsubscribe", ""))
    offered = lower.get("list-unsubscribe-post", "").replace(" ", "").lower() == "list-unsubscribe=one-click"
    return found[1] if found and offered else ""


def _first_link(html: str) -> str:
    found = HREF.search(html)
    return found[1] if found else "https://www.example.org/"


def _fail(fault: Fault) -> Refusal:
    if fault.kind == "throttle":
        headers = {"retry-after": str(fault.retry_after), "ratelimit-remaining": "0"}
        return refuse(429, "rate_limit_exceeded", "Too many requests.", headers)
    return refuse(fault.status, NAMES.get(fault.status, "application_error"), "Something went wrong.")
