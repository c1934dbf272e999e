"""The Messages resource: create, read and list."""

import base64
import binascii
import re
import time
from datetime import date
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from aiohttp import web

from app.simulator.accounts import TWILIO, Account
from app.simulator.behaviour import Fault
from app.simulator.refusal import Refusal
from app.simulator.sandbox import Sandbox
from app.simulator.serve import SANDBOX, Answer, serve
from app.simulator.twilio.events import new_sid, schedule_callbacks, sender_scope, timeline
from app.simulator.twilio.segments import segment_count
from app.simulator.twilio.store import as_resource

PREFIX = "/2010-04-01/Accounts/{account_sid}"
E164 = re.compile(r"\+[1-9]\d{6,14}")
MAX_BODY, MAX_CALLBACK, MAX_MEDIA, MAX_PAGE = 1_600, 4_000, 10, 1_000
MESSAGES = {
    20001: "Unknown parameters",
    20003: "Authenticate",
    20404: "The requested resource {0} was not found",
    20429: "Too Many Requests",
    20500: "An internal server error has occurred",
    20503: "Service unavailable",
    21211: "The 'To' number {0} is not a valid phone number.",
    21212: "The 'From' number {0} is not a valid phone number, shortcode, or alphanumeric sender ID.",
    21266: "'To' and 'From' number cannot be the same: {0}",
    21602: "Message body is required.",
    21603: "A 'From' phone number is required.",
    21604: "A 'To' phone number is required.",
    21606: "The 'From' phone number provided ({0}) is not a valid message-capable Twilio phone number for this "
    "destination.",
    21609: "The 'StatusCallback' URL {0} is not a valid URL.",
    21610: "Attempt to send to unsubscribed recipient",
    21614: "'To' number is not a valid mobile number",
    21617: "The concatenated message body exceeds the 1600 character limit",
    21620: "Invalid media URL(s)",
    21623: "Number of media files exceeds allowed limit",
    21624: "The validity period must be between 1 and 36000 seconds.",
    21701: "The Messaging Service {0} does not exist.",
}


def add_routes(app: web.Application) -> None:
    app.router.add_post(f"{PREFIX}/Messages.json", create_message)
    app.router.add_get(f"{PREFIX}/Messages.json", list_messages)
    app.router.add_get(f"{PREFIX}/Messages/{{sid}}.json", fetch_message)


async def create_message(request: web.Request) -> web.Response:
    body = await request.read()
    return await serve(request, TWILIO, lambda: accept_message(request.app[SANDBOX], request, body), _fail)


async def list_messages(request: web.Request) -> web.Response:
    return await serve(request, TWILIO, lambda: list_page(request.app[SANDBOX], request), _fail)


async def fetch_message(request: web.Request) -> web.Response:
    return await serve(request, TWILIO, lambda: describe(request.app[SANDBOX], request), _fail)


def refuse(code: int, about: str = "", *, status: int = 400, retry_after: int | None = None) -> Refusal:
    body = {
        "code": code,
        "message": MESSAGES.get(code, "Error").format(about),
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
    return Refusal(status, code, body, headers=headers, throttled=status == 429)


def authorize(sandbox: Sandbox, request: web.Request) -> Account:
    """The account of the Basic credentials, which must be the one in the path."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        sid, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        sid = token = ""
    account = sandbox.accounts.get(TWILIO, sid)
    if scheme.lower() != "basic" or account is None or account.credentials["auth_token"] != token:
        raise refuse(20003, status=401)
    if request.match_info["account_sid"] != sid:
        raise refuse(20404, request.path, status=404)
    return account


def accept_message(sandbox: Sandbox, request: web.Request, body: bytes) -> Answer:
    account = authorize(sandbox, request)
    now = time.time()
    rate = account.messages_per_second or sandbox.behaviour.messages_per_second
    if not sandbox.limits.allow(account.id, rate, now):
        raise refuse(20429, status=429)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
    except (UnicodeDecodeError, ValueError):
        pairs = []  # then the first required parameter is the one that is missing
    form = dict(pairs)
    to, text, callback = form.get("To", ""), form.get("Body", ""), form.get("StatusCallback", "")
    sender, service = check_form(account, form)
    media = [value for name, value in pairs if name == "MediaUrl"]
    _check_media(media)
    if sandbox.blocks.get((sender_scope(account), to)):
        raise refuse(21610)
    plan = sandbox.plan("sms", to)
    if plan.fate == "not_mobile":
        raise refuse(21614)
    reference = parse_qs(urlsplit(callback).query).get("ref", [""])[0]
    message: dict[str, Any] = {
        "sid": new_sid(), "account": account.id, "service": service, "to": to, "from": sender, "body": text,
        "media": len(media), "segments": segment_count(text), "created": now,
        "timeline": timeline(sandbox, "accepted" if service else "queued", now, plan),
    }  # fmt: skip
    record = sandbox.accept(account, "sms", to, reference, message["sid"], message)
    sandbox.messages.add(message)
    sandbox.journal.write(record)
    schedule_callbacks(sandbox, account, message, callback, reference, plan)
    return Answer(201, as_resource(message, now), accepted=True)


def check_form(account: Account, form: dict[str, str]) -> tuple[str, str]:
    """The sending number and the messaging service of a well-formed request."""
    to, text, service = form.get("To", ""), form.get("Body", ""), form.get("MessagingServiceSid", "")
    if not to:
        raise refuse(21604)
    if not form.get("From") and not service:
        raise refuse(21603)
    if not text and not form.get("MediaUrl") and not form.get("ContentSid"):
        raise refuse(21602)
    if len(text) > MAX_BODY:
        raise refuse(21617)
    if not E164.fullmatch(to):
        raise refuse(21211, to)
    if service and service != account.credentials.get("messaging_service_sid"):
        raise refuse(21701, service)
    sender = form.get("From") or account.credentials.get("from_number", "+15005550006")
    if not E164.fullmatch(sender) and not re.fullmatch(r"\d{3,6}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}", sender):
        raise refuse(21212, sender)
    if sender == to:
        raise refuse(21266, to)
    if form.get("From") and sender != account.credentials.get("from_number"):
        raise refuse(21606, sender)
    _check_callback(form.get("StatusCallback", ""))
    validity = form.get("ValidityPeriod", "1")
    if not validity.isdecimal() or not 1 <= int(validity) <= 36_000:
        raise refuse(21624)
    return sender, service


def _check_callback(callback: str) -> None:
    if not callback:
        return
    try:
        parts = urlsplit(callback)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise refuse(21609, callback) from None
    if not usable or "_" in (parts.hostname or "") or len(callback) > MAX_CALLBACK or re.search(r"\s", callback):
        raise refuse(21609, callback)


def _check_media(media: list[str]) -> None:
    if len(media) > MAX_MEDIA:
        raise refuse(21623)
    for address in media:
        try:
            usable = urlsplit(address).scheme in ("http", "https") and bool(urlsplit(address).hostname)
        except ValueError:
            usable = False
        if not usable:
            raise refuse(21620)


def describe(sandbox: Sandbox, request: web.Request) -> Answer:
    account = authorize(sandbox, request)
    message = sandbox.messages.get(account.id, request.match_info["sid"])
    if message is None:
        raise refuse(20404, request.path, status=404)
    return Answer(200, as_resource(message, time.time()))


def list_page(sandbox: Sandbox, request: web.Request) -> Answer:
    """One page, newest first. `DateSent>` and `DateSent<` are inclusive and count whole days."""
    account = authorize(sandbox, request)
    query = dict(request.query)
    try:
        size, page = int(query.get("PageSize", "50")), int(query.get("Page", "0"))
        exact = _day(query.get("DateSent"))
        since, until = exact or _day(query.get("DateSent>")), exact or _day(query.get("DateSent<"))
    except ValueError:
        raise refuse(20001, status=400) from None
    if not 1 <= size <= MAX_PAGE or page < 0:
        raise refuse(20001, status=400)
    found = sandbox.messages.find(account.id, query.get("To"), query.get("From"), since, until)
    start, now = page * size, time.time()
    shown = found[start : start + size]

    def uri(number: int) -> str:
        return f"{request.path}?{urlencode({**query, 'PageSize': size, 'Page': number})}"

    return Answer(
        200,
        {
            "messages": [as_resource(message, now) for message in shown],
            "first_page_uri": uri(0),
            "next_page_uri": uri(page + 1) if start + size < len(found) else None,
            "previous_page_uri": uri(page - 1) if page else None,
            "page": page,
            "page_size": size,
            "start": start,
            "end": start + max(0, len(shown) - 1),
            "uri": uri(page),
        },
    )


def _day(text: str | None) -> date | None:
    """The date of `YYYY-MM-DD`, or of a time that starts so."""
    return date.fromisoformat(text[:10]) if text else None


def _fail(fault: Fault) -> Refusal:
    if fault.kind == "throttle":
        return refuse(20429, status=429, retry_after=fault.retry_after)
    return refuse(fault.code or (20500 if fault.status == 500 else 20503), status=fault.status)
