"""The Mail Send endpoint."""

import base64
import os
import time
from typing import Any

import orjson
from aiohttp import web

from app.simulator.accounts import SENDGRID, Account
from app.simulator.behaviour import Fault
from app.simulator.mail import HREF, one_click_url
from app.simulator.refusal import Refusal
from app.simulator.sandbox import Sandbox
from app.simulator.sendgrid.checks import check_mail
from app.simulator.sendgrid.events import schedule_events
from app.simulator.serve import SANDBOX, Answer, serve

MAX_BYTES = 30 * 1024 * 1024
REQUESTS_PER_SECOND = 10_000  # the last figure that SendGrid published


def add_routes(app: web.Application) -> None:
    app.router.add_post("/v3/mail/send", send_mail)


async def send_mail(request: web.Request) -> web.Response:
    sandbox, authorization = request.app[SANDBOX], request.headers.get("Authorization", "")
    if (request.content_length or 0) > MAX_BYTES:
        too_large = refuse(413, None, "The payload is larger than 30 MB.")
        return await serve(request, SENDGRID, lambda: _raise(too_large), _fail)
    body, kind = await request.read(), request.content_type
    return await serve(request, SENDGRID, lambda: accept_mail(sandbox, authorization, kind, body), _fail)


def _raise(refusal: Refusal) -> Answer:
    raise refusal


def refuse(status: int, field: str | None, message: str, headers: dict[str, str] | None = None) -> Refusal:
    body = {"errors": [{"message": message, "field": field, "help": None}]}
    return Refusal(status, status, body, headers=headers, throttled=status == 429)


def accept_mail(sandbox: Sandbox, authorization: str, content_type: str, body: bytes) -> Answer:
    account = _authorize(sandbox, authorization)
    now = time.time()
    rate = account.messages_per_second or sandbox.behaviour.messages_per_second
    allowed = sandbox.limits.allow(account.id, rate, now)
    limits = {
        "X-RateLimit-Limit": str(int(rate or REQUESTS_PER_SECOND)),
        "X-RateLimit-Remaining": str(sandbox.limits.remaining(account.id) if rate else REQUESTS_PER_SECOND - 1),
        "X-RateLimit-Reset": str(int(now) + 1),
    }
    if not allowed:
        raise refuse(429, None, "too many requests", limits)
    if content_type != "application/json":
        raise refuse(415, None, "Content-Type should be application/json.", limits)
    try:
        mail = orjson.loads(body)
    except orjson.JSONDecodeError:
        mail = None
    if not isinstance(mail, dict):
        raise refuse(400, None, "Bad Request", limits)
    errors = check_mail(mail)
    if errors:
        raise Refusal(400, 400, {"errors": errors}, headers=limits)
    if not _is_verified(account, mail["from"]["email"]):
        raise refuse(
            403,
            "from",
            "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is "
            "resolved. Visit https://sendgrid.com/docs/for-developers/sending-email/sender-identity/ to see the "
            "Sender Identity requirements",
            limits,
        )
    sandbox_mode = mail.get("mail_settings", {}).get("sandbox_mode")
    if isinstance(sandbox_mode, dict) and sandbox_mode.get("enable"):
        return Answer(200, None, limits)
    request_id = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
    _accept(sandbox, account, mail, request_id)
    return Answer(202, None, {**limits, "X-Message-Id": request_id}, accepted=True)


def _authorize(sandbox: Sandbox, authorization: str) -> Account:
    scheme, _, key = authorization.partition(" ")
    account = sandbox.accounts.get(SENDGRID, key.strip())
    if scheme.lower() != "bearer" or account is None:
        raise refuse(401, None, "The provided authorization grant is invalid, expired, or revoked")
    return account


def _is_verified(account: Account, sender: str) -> bool:
    sender = sender.lower()
    verified = {account.credentials["from_email"].lower(), *(entry.lower() for entry in account.verified_senders)}
    return sender in verified or sender.rpartition("@")[2] in verified


def _accept(sandbox: Sandbox, account: Account, mail: dict[str, Any], request_id: str) -> None:
    """Count every recipient, then report on each. One request has one id; the recipients are numbered below it."""
    records: list[dict[str, Any]] = []
    told = []
    for envelope in mail["personalizations"]:
        args = {**(mail.get("custom_args") or {}), **(envelope.get("custom_args") or {})}
        headers = {**(mail.get("headers") or {}), **(envelope.get("headers") or {})}
        for person in [person for name in ("to", "cc", "bcc") for person in envelope.get(name, [])]:
            address, reference = person["email"].strip().lower(), args.get("message_id", "")
            facts = {
                "id": f"{request_id}.recvd-5c9f-1-{os.urandom(4).hex().upper()}-1.{len(records)}",
                "email": person["email"],
                "args": args,
                "categories": mail.get("categories") or [],
                "one_click": one_click_url(headers),
                "link": _first_link(mail, envelope.get("substitutions") or {}),
            }
            plan = sandbox.plan("email", address)
            records.append(sandbox.accept(account, "email", address, reference, facts["id"], facts))
            told.append((address, facts, reference, plan))
    sandbox.journal.write(*records)
    for address, facts, reference, plan in told:
        schedule_events(sandbox, account, address, facts, reference, plan)


def _first_link(mail: dict[str, Any], substitutions: dict[str, str]) -> str:
    """In the words that this person gets."""
    for part in mail.get("content") or []:
        value = part["value"]
        for tag, own in substitutions.items():
            value = value.replace(tag, own)
        found = HREF.search(value)
        if found:
            return found[1]
    return "https://www.example.org/"


def _fail(fault: Fault) -> Refusal:
    if fault.kind == "throttle":
        reset = {"X-RateLimit-Reset": str(int(time.time()) + fault.retry_after), "X-RateLimit-Remaining": "0"}
        return refuse(429, None, "too many requests", {"Retry-After": str(fault.retry_after), **reset})
    return refuse(fault.status, None, "Internal Server Error" if fault.status == 500 else "Service Unavailable")
