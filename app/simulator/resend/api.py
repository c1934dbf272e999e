"""The endpoints that send one e-mail, and many."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from app.simulator.accounts import RESEND, Account
from app.simulator.behaviour import Fault
from app.simulator.mail import first_link, one_click_url
from app.simulator.refusal import Refusal
from app.simulator.resend.checks import address_in, check_batched, check_mail, recipients, refuse
from app.simulator.resend.events import schedule_events
from app.simulator.resend.keys import digest_of
from app.simulator.sandbox import Sandbox
from app.simulator.serve import SANDBOX, Answer, serve

REQUESTS_PER_SECOND = 10.0  # of a team, unless it was raised
MAX_KEY, MOST_IN_BATCH = 256, 100
NAMES = {
    400: "validation_error", 401: "missing_api_key", 403: "invalid_api_key", 404: "not_found", 409: "resource_locked",
    422: "missing_required_field", 503: "service_unavailable",
}  # fmt: skip


def add_routes(app: web.Application) -> None:
    app.router.add_post("/emails", partial(post, work=accept_email, scope=""))
    app.router.add_post("/emails/batch", partial(post, work=accept_batch, scope="/emails/batch "))


@dataclass(slots=True)
class Call:
    """An authorized request, within its limits."""

    sandbox: Sandbox
    account: Account
    request: web.Request
    body: bytes
    key: str
    now: float


async def post(request: web.Request, *, work: Callable[[Call], dict[str, Any]], scope: str) -> web.Response:
    """A key is under way until its request has its answer, or has lost it."""
    sandbox, body = request.app[SANDBOX], await request.read()
    begun: list[tuple[str, str]] = []

    def answer() -> Answer:
        account = _authorize(sandbox, request)
        limits = _limit(sandbox, account)
        try:
            key = _key(request)
            call = Call(sandbox, account, request, body, f"{scope}{key}" if key else "", time.time())
            return Answer(200, _once(call, work, begun), limits, accepted=True)
        except Refusal as refusal:
            refusal.headers = {**limits, **refusal.headers}
            raise

    try:
        return await serve(request, RESEND, answer, _fail)
    finally:
        sandbox.resend_keys.under_way.difference_update(begun)


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


def _key(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        raise refuse(400, "invalid_idempotency_key", "The idempotency key must be between 1-256 characters.")
    return key or ""


def _once(call: Call, work: Callable[[Call], dict[str, Any]], begun: list[tuple[str, str]]) -> dict[str, Any]:
    """The answer to a request with a new key, or the first one's."""
    keys, lifetime = call.sandbox.resend_keys, call.sandbox.behaviour.resend_key_seconds
    verdict, answer = keys.judge(call.account.id, call.key, call.body, lifetime=lifetime, now=call.now)
    if verdict == "under_way":
        message = "Same idempotency key used while original request is still in progress."
        raise refuse(409, "concurrent_idempotent_requests", message)
    if verdict == "other":
        message = "Same idempotency key used with a different request payload."
        raise refuse(409, "invalid_idempotent_request", message)
    if verdict == "same":
        return dict(answer)
    made = work(call)
    if call.key:
        begun.append((call.account.id, call.key))
        keys.under_way.add((call.account.id, call.key))
    return made


def accept_email(call: Call) -> dict[str, Any]:
    mail = _read(call)
    if not isinstance(mail, dict):
        raise refuse(400, "validation_error", "The request body must be a JSON object.")
    check_mail(mail)
    _check_domain(call.account, mail)
    answer = {"id": str(uuid.uuid4())}
    _accept(call, [(answer["id"], mail)], answer)
    return answer


def accept_batch(call: Call) -> dict[str, Any]:
    mails, strict = _read(call), _is_strict(call.request)
    if not isinstance(mails, list) or not 1 <= len(mails) <= MOST_IN_BATCH:
        raise refuse(422, "invalid_parameter", f"The request body must be a list of 1 to {MOST_IN_BATCH} e-mails.")
    errors: list[dict[str, Any]] = []
    accepted: list[tuple[str, dict[str, Any]]] = []
    for index, mail in enumerate(mails):
        try:
            check_batched(mail)
            _check_domain(call.account, mail)
        except Refusal as refusal:
            if strict or refusal.status == 403:
                raise
            errors.append({"index": index, "message": refusal.body["message"]})
        else:
            accepted.append((str(uuid.uuid4()), mail))
    answer: dict[str, Any] = {"data": [{"id": id} for id, _ in accepted]}
    if not strict:
        answer["errors"] = errors
    for _ in errors:
        call.sandbox.ledger.reject(RESEND, "batch_validation", throttled=False)
    _accept(call, accepted, answer)
    return answer


def _is_strict(request: web.Request) -> bool:
    mode = request.headers.get("x-batch-validation", "strict")
    if mode not in ("strict", "permissive"):
        raise refuse(400, "validation_error", "The x-batch-validation header must be strict or permissive.")
    return mode == "strict"


def _read(call: Call) -> Any:
    try:
        return orjson.loads(call.body) if call.request.content_type == "application/json" else None
    except orjson.JSONDecodeError:
        return None


def _check_domain(account: Account, mail: dict[str, Any]) -> None:
    domain = (address_in(mail["from"]) or "").rpartition("@")[2]
    own = account.credentials["from_email"].lower().rpartition("@")[2]
    if domain != own and domain not in {entry.lower() for entry in account.verified_senders}:
        message = f"The {domain} domain is not verified. Please, add and verify your domain."
        raise refuse(403, "validation_error", message)


def _accept(call: Call, mails: list[tuple[str, dict[str, Any]]], answer: dict[str, Any]) -> None:
    """Count every recipient, then report on each; those of one e-mail have its id in common."""
    sandbox, account = call.sandbox, call.account
    records: list[dict[str, Any]] = []
    told = []
    for email_id, mail in mails:
        for address in recipients(mail):
            facts = _facts(email_id, mail, call.now)
            # the first one remembers the key for all of them
            facts |= {"key": "", "digest": ""} if records else _key_facts(call, answer)
            plan = sandbox.plan("email", address)
            reference = facts["tags"].get("message_id", "")
            records.append(sandbox.accept(account, "email", address, reference, email_id, facts))
            told.append((address, facts, plan))
    if records:
        sandbox.resend_keys.keep(account.id, records[0]["m"])
    sandbox.journal.write(*records)
    for address, facts, plan in told:
        schedule_events(sandbox, account, address, facts, plan)


def _key_facts(call: Call, answer: dict[str, Any]) -> dict[str, Any]:
    return {"key": call.key, "digest": digest_of(call.body), "answer": answer}


def _facts(email_id: str, mail: dict[str, Any], now: float) -> dict[str, Any]:
    return {
        "id": email_id,
        "at": now,
        "from": mail["from"],
        "to": mail["to"] if isinstance(mail["to"], list) else [mail["to"]],
        "subject": mail["subject"],
        "tags": {tag["name"]: tag["value"] for tag in mail.get("tags") or []},
        "one_click": one_click_url(mail.get("headers") or {}),
        "link": first_link(mail.get("html") or ""),
    }


def _fail(fault: Fault) -> Refusal:
    if fault.kind == "throttle":
        headers = {"retry-after": str(fault.retry_after), "ratelimit-remaining": "0"}
        return refuse(429, "rate_limit_exceeded", "Too many requests.", headers)
    return refuse(fault.status, NAMES.get(fault.status, "application_error"), "Something went wrong.")
