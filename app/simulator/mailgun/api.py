"""The endpoint that sends one e-mail or a batch of them, and the list of events."""

import base64
import binascii
import os
import time
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from aiohttp import web
from aiohttp.web_request import FileField

from app.simulator.accounts import MAILGUN, Account
from app.simulator.behaviour import Fault
from app.simulator.mail import first_link, one_click_url
from app.simulator.mailgun.checks import Mail, check_form, refuse
from app.simulator.mailgun.events import schedule_events
from app.simulator.refusal import Refusal
from app.simulator.sandbox import Sandbox
from app.simulator.serve import SANDBOX, Answer, serve

MAX_PAGE, MAX_FIELDS = 300, 2_000
FILTERS = ("event", "message-id", "recipient", "to", "from", "subject", "tags", "severity")
WORDS = {
    400: "'to' parameter is not a valid address. please check documentation",
    402: "Request Failed",
    403: "Domain is not allowed to send large batches yet",
    413: "Request Entity Too Large",
}


def add_routes(app: web.Application) -> None:
    app.router.add_post("/v3/{domain}/messages", send_message)
    app.router.add_get("/v3/{domain}/events", list_events)


async def send_message(request: web.Request) -> web.Response:
    sandbox = request.app[SANDBOX]
    try:
        # aiohttp would read a thousand fields at most, and there may be as many recipients
        posted = list((await request.clone(client_max_fields=MAX_FIELDS).post()).items())
    except (ValueError, web.HTTPRequestEntityTooLarge) as error:
        too_large = isinstance(error, web.HTTPRequestEntityTooLarge)
        refusal = refuse(413, WORDS[413]) if too_large else refuse(400, "The form cannot be read")
        return await serve(request, MAILGUN, lambda: _raise(refusal), _fail)
    form = [(name, value) for name, value in posted if isinstance(value, str)]
    sizes = [_size(value) for _, value in posted if isinstance(value, FileField)]
    return await serve(request, MAILGUN, lambda: accept_message(sandbox, request, form, sizes), _fail)


def _size(field: FileField) -> int:
    """Of an attachment, which is not kept."""
    with field.file as file:
        return len(file.read())


async def list_events(request: web.Request) -> web.Response:
    return await serve(request, MAILGUN, lambda: events_page(request.app[SANDBOX], request), _fail)


def _raise(refusal: Refusal) -> Answer:
    raise refusal


def accept_message(sandbox: Sandbox, request: web.Request, form: list[tuple[str, str]], sizes: list[int]) -> Answer:
    account = _authorize(sandbox, request)
    now = time.time()
    rate = account.messages_per_second or sandbox.behaviour.messages_per_second
    if not sandbox.limits.allow(account.id, rate, now):
        raise _limited(account.id, now + 1)
    mail = check_form(account, form, len(sizes), sum(sizes))
    message_id = mail.headers.get("Message-Id", "").strip("<> ") or _new_id(account)
    _accept(sandbox, account, mail, message_id, now)
    return Answer(200, {"id": f"<{message_id}>", "message": "Queued. Thank you."}, accepted=True)


def _authorize(sandbox: Sandbox, request: web.Request) -> Account:
    """The account of the domain, if its key was given; the key is looked at first."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        user, _, key = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user = key = ""
    owned = [
        account
        for (provider, _), account in sandbox.accounts.by_id.items()
        if provider == MAILGUN and account.credentials["api_key"] == key
    ]
    if scheme.lower() != "basic" or user != "api" or not owned:
        raise Refusal(401, 401, "Forbidden")
    domain = request.match_info["domain"].lower()
    account = next((account for account in owned if account.id.lower() == domain), None)
    if account is None:
        raise refuse(404, f"Domain not found: {domain}")
    return account


def _limited(domain: str, until: float) -> Refusal:
    at = format_datetime(datetime.fromtimestamp(-(-until // 1), UTC))
    return refuse(429, f"Domain {domain} is not allowed to send: request limit exceeded, try again after {at}")


def _new_id(account: Account) -> str:
    return f"{datetime.now(UTC):%Y%m%d%H%M%S}.1.{os.urandom(8).hex().upper()}@{account.credentials['domain']}"


def _accept(sandbox: Sandbox, account: Account, mail: Mail, message_id: str, now: float) -> None:
    """Count every recipient, then report on each; they have one id in common."""
    records: list[dict[str, Any]] = []
    told = []
    for address in (*mail.to, *mail.copies):
        headers = {name: mail.rendered(value, address) for name, value in mail.headers.items()}
        html, text = mail.rendered(mail.parts["html"], address), mail.rendered(mail.parts["text"], address)
        variables = {name: mail.rendered(value, address) for name, value in mail.variables.items()}
        facts = {
            "id": message_id,
            "at": now,
            "from": mail.sender,
            "subject": mail.rendered(mail.parts["subject"], address),
            "variables": variables,
            "tags": list(mail.tags),
            "one_click": one_click_url(headers),
            "link": first_link(html),
            "size": len(html) + len(text),
        }
        plan = sandbox.plan("email", address)
        reference = variables.get("message_id", "")
        records.append(sandbox.accept(account, "email", address, reference, message_id, facts))
        told.append((address, facts, plan))
    sandbox.journal.write(*records)
    for address, facts, plan in told:
        schedule_events(sandbox, account, address, facts, plan)


def events_page(sandbox: Sandbox, request: web.Request) -> Answer:
    """The first page; newest first unless it is asked for otherwise."""
    account, query = _authorize(sandbox, request), request.query
    try:
        limit = int(query.get("limit", "100"))
        begin, end = _moment(query.get("begin"), 0.0), _moment(query.get("end"), time.time())
    except ValueError:
        raise refuse(400, "The parameters are not valid") from None
    if not 1 <= limit <= MAX_PAGE:
        raise refuse(400, f"limit must be between 1 and {MAX_PAGE}")
    late = time.time() - sandbox.behaviour.mailgun_listed_after_seconds
    wanted = {name: query[name] for name in FILTERS if name in query}
    found = sandbox.mailgun_events.find(account.id, begin, min(end, late), wanted)
    if query.get("ascending", "no") not in ("yes", "true"):
        found.reverse()
    return Answer(200, {"items": found[:limit], "paging": {}})


def _moment(value: str | None, otherwise: float) -> float:
    """Unix seconds or an RFC 2822 date."""
    if value is None:
        return otherwise
    return float(value) if value.replace(".", "", 1).isdigit() else parsedate_to_datetime(value).timestamp()


def _fail(fault: Fault) -> Refusal:
    if fault.kind == "throttle":
        return _limited("mg.example.org", time.time() + fault.retry_after)
    if fault.status == 401:
        return Refusal(401, 401, "Forbidden")
    return refuse(fault.status, WORDS.get(fault.status, "Internal Server Error"))
