"""The endpoints of the Cloud API: messages, templates, and the phone number itself."""

import time
from typing import Any

import orjson
from aiohttp import web

from app.simulator.accounts import WHATSAPP, Account
from app.simulator.behaviour import Behaviour, Fault
from app.simulator.people import Person
from app.simulator.refusal import Refusal
from app.simulator.sandbox import Sandbox
from app.simulator.serve import SANDBOX, Answer, serve
from app.simulator.whatsapp.approvals import post_template
from app.simulator.whatsapp.checks import check_body
from app.simulator.whatsapp.errors import TITLES, UNDELIVERABLE, bad_token, refuse, unknown_object
from app.simulator.whatsapp.events import new_wamid, schedule_statuses
from app.simulator.whatsapp.media import FILES, Files, read_upload
from app.simulator.whatsapp.templates import as_listed, check_template, listed_templates

VERSION = r"{version:v\d+\.\d+}"


def add_routes(app: web.Application) -> None:
    app[FILES] = Files()
    app.router.add_post(f"/{VERSION}/{{phone_number_id}}/messages", post_message)
    app.router.add_post(f"/{VERSION}/{{phone_number_id}}/media", post_media)
    app.router.add_get(f"/{VERSION}/{{waba_id}}/message_templates", get_templates)
    app.router.add_get(f"/{VERSION}/{{phone_number_id}}", get_phone_number)
    app.router.add_post("/sandbox/templates", post_template)


async def post_message(request: web.Request) -> web.Response:
    body = await request.read()
    sandbox, sender = request.app[SANDBOX], request.match_info["phone_number_id"]
    token = request.headers.get("Authorization", "")
    files = request.app[FILES]
    return await serve(request, WHATSAPP, lambda: accept_message(sandbox, files, token, sender, body), _fail)


async def post_media(request: web.Request) -> web.Response:
    sandbox, token = request.app[SANDBOX], request.headers.get("Authorization", "")
    sender, read = request.match_info["phone_number_id"], await read_upload(request)

    def keep() -> Answer:
        _sender(sandbox, token, sender, "post")
        if isinstance(read, Refusal):
            raise read
        return Answer(200, {"id": request.app[FILES].add(sender, read[0])})

    return await serve(request, WHATSAPP, keep, _fail, faulty=False)


async def get_templates(request: web.Request) -> web.Response:
    sandbox, token = request.app[SANDBOX], request.headers.get("Authorization", "")
    waba, query = request.match_info["waba_id"], dict(request.query)
    return await serve(request, WHATSAPP, lambda: list_templates(sandbox, token, waba, query), _fail, faulty=False)


async def get_phone_number(request: web.Request) -> web.Response:
    sandbox, token = request.app[SANDBOX], request.headers.get("Authorization", "")
    sender, fields = request.match_info["phone_number_id"], request.query.get("fields", "")
    return await serve(request, WHATSAPP, lambda: describe_number(sandbox, token, sender, fields), _fail)


def authorize(sandbox: Sandbox, authorization: str) -> set[str]:
    """The phone number ids that a bearer token may use."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise bad_token("An access token is required to request this resource.")
    allowed = sandbox.accounts.tokens.get(token.strip())
    if allowed is None:
        raise bad_token("Invalid OAuth access token - Cannot parse access token")
    return allowed


def accept_message(sandbox: Sandbox, files: Files, authorization: str, sender: str, body: bytes) -> Answer:
    account = _sender(sandbox, authorization, sender, "post")
    rate = account.messages_per_second or sandbox.behaviour.messages_per_second
    now = time.time()
    if not sandbox.limits.allow(account.id, rate, now):
        raise refuse(130429, "Cloud API message throughput has been reached.", status=429)
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise refuse(100, f"The request body is not valid JSON: {error}.") from None
    if isinstance(payload, dict) and payload.get("status") == "read":
        return _mark_as_read(payload)
    digits, kind = check_body(payload)
    files.check(sender, payload, kind)
    address, reference = "+" + digits, payload.get("biz_opaque_callback_data", "")
    if digits == account.display_phone_number:
        raise refuse(131021, "Recipient and sender are the same phone number.")
    wrote_at = sandbox.windows.get((account.id, address))
    inside_window = wrote_at is not None and now - wrote_at < sandbox.behaviour.window_seconds
    category = "service"
    if kind == "template":
        category = check_template(account.approved, account.templates == "*", payload.get("template"))
    plan = sandbox.plan("whatsapp", address)
    if plan.fate == "not_on_whatsapp":
        raise refuse(131026, UNDELIVERABLE)
    if kind != "template" and not inside_window:
        raise refuse(
            131047,
            "Message failed to send because more than 24 hours have passed since the customer last replied to this "
            "number.",
        )
    if not _pair_allows(sandbox.people.person("whatsapp", address), sandbox.behaviour, now):
        raise refuse(
            131056,
            "Message failed to send because there were too many messages sent from this phone number to the same phone "
            "number in a short period of time.",
        )
    wamid = new_wamid(digits)
    sandbox.journal.write(sandbox.accept(account, "whatsapp", address, reference, wamid, {}))
    schedule_statuses(sandbox, account, digits, wamid, reference, category, plan, plays=kind == "audio")
    return Answer(
        200,
        {
            "messaging_product": "whatsapp",
            "contacts": [{"input": payload["to"], "wa_id": digits}],
            "messages": [{"id": wamid, "message_status": "accepted"}],
        },
        accepted=True,
    )


def _sender(sandbox: Sandbox, authorization: str, sender: str, method: str) -> Account:
    allowed = authorize(sandbox, authorization)
    account = sandbox.accounts.get(WHATSAPP, sender)
    if account is None or sender not in allowed:
        raise unknown_object(method, sender)
    return account


def _mark_as_read(payload: dict[str, Any]) -> Answer:
    message_id = payload.get("message_id")
    if payload.get("messaging_product") != "whatsapp":
        raise refuse(100, "The parameter messaging_product is required and must be 'whatsapp'.")
    if not isinstance(message_id, str) or not message_id.startswith("wamid."):
        raise refuse(131009, "Parameter 'message_id' must be the id of a message.")
    return Answer(200, {"success": True})


def _pair_allows(person: Person, behaviour: Behaviour, now: float) -> bool:
    """One message per `pair_seconds` to the same person; a burst borrows from what is to come."""
    if person.pair_tokens < 0:
        person.pair_tokens = behaviour.pair_burst
    else:
        refilled = person.pair_tokens + (now - person.pair_at) / behaviour.pair_seconds
        person.pair_tokens = min(behaviour.pair_burst, refilled)
    person.pair_at = now
    if person.pair_tokens < 1:
        return False
    person.pair_tokens -= 1
    return True


def list_templates(sandbox: Sandbox, authorization: str, waba: str, query: dict[str, str]) -> Answer:
    allowed = authorize(sandbox, authorization)
    accounts = [sandbox.accounts.by_id[WHATSAPP, number] for number in sorted(allowed)]
    account = next((known for known in accounts if known.credentials["waba_id"] == waba), None)
    if account is None:
        raise unknown_object("get", waba)
    wanted = listed_templates(account.templates)
    for name in ("name", "language", "status", "category"):
        if name in query:
            wanted = [template for template in wanted if template.get(name) == query[name]]
    try:
        limit, start = int(query.get("limit", "25")), int(query.get("after", "0"))
    except ValueError:
        raise refuse(100, "Parameters limit and after must be valid.") from None
    if limit < 1 or start < 0:
        raise refuse(100, "Parameters limit and after must be valid.")
    page = wanted[start : start + limit]
    data = [as_listed(template, query.get("fields", "")) for template in page]
    answer: dict[str, Any] = {"data": data}
    if page:
        answer["paging"] = {"cursors": {"before": str(start), "after": str(start + len(page))}}
        if start + limit < len(wanted):
            answer["paging"]["next"] = f"/{waba}/message_templates?limit={limit}&after={start + limit}"
    return Answer(200, answer)


def describe_number(sandbox: Sandbox, authorization: str, sender: str, fields: str) -> Answer:
    account = _sender(sandbox, authorization, sender, "get")
    known = {
        "verified_name": "Example Shop",
        "code_verification_status": "VERIFIED",
        "display_phone_number": "+" + account.display_phone_number,
        "quality_rating": "GREEN",
        "platform_type": "CLOUD_API",
        "throughput": {"level": "STANDARD"},
    }
    wanted = [name.strip() for name in fields.split(",") if name.strip()] or list(known)
    return Answer(200, {**{name: known[name] for name in wanted if name in known}, "id": account.id})


def _fail(fault: Fault) -> Refusal:
    if fault.kind == "throttle":
        return refuse(
            130429, "Cloud API message throughput has been reached.", status=429, retry_after=fault.retry_after
        )
    if fault.code is not None:
        return refuse(fault.code, TITLES.get(fault.code, "Error"), status=fault.status)
    return Refusal(fault.status, fault.status, "Service Unavailable")
