"""The control API: accounts, behaviour, people, faults, the shop, and what the sandbox counted."""

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from pydantic import ValidationError
from yarl import URL

from app.simulator.accounts import IDENTITY, MAILGUN, MESSAGEBIRD, RESEND, SENDGRID, SMTP, TWILIO, WHATSAPP, Account
from app.simulator.behaviour import FAULTS, SCRIPTS, AccountBody, Behaviour, Channel, Inbound, Shop
from app.simulator.dispatcher import Event
from app.simulator.limits import Arrivals
from app.simulator.mailgun import events as mailgun_events
from app.simulator.messagebird import events as messagebird_events
from app.simulator.people import normal_address
from app.simulator.resend import events as resend_events
from app.simulator.sandbox import PROVIDERS, Sandbox
from app.simulator.sendgrid import inbound as sendgrid_inbound
from app.simulator.sendgrid.events import email_event
from app.simulator.serve import SANDBOX
from app.simulator.smtp import events as smtp_events
from app.simulator.twilio import events as twilio_events
from app.simulator.whatsapp import events as whatsapp_events

HANDSHAKE_TIMEOUT = aiohttp.ClientTimeout(total=10)
RESEND_EVENTS = {"spamreport": "email.complained", "open": "email.opened", "click": "email.clicked"}
MAILGUN_EVENTS = {"unsubscribe": "unsubscribed", "spamreport": "complained", "open": "opened", "click": "clicked"}
CHANNELS: dict[str, Channel] = {
    WHATSAPP: "whatsapp", TWILIO: "sms", MESSAGEBIRD: "sms", SENDGRID: "email", MAILGUN: "email",
    RESEND: "email", SMTP: "email",
}  # fmt: skip


def add_routes(app: web.Application) -> None:
    router = app.router
    router.add_get("/health", health)
    router.add_get("/stats", stats)
    router.add_get("/sandbox/arrivals", get_arrivals)
    router.add_get("/sandbox/accounts", list_accounts)
    router.add_post("/sandbox/accounts", put_account)
    router.add_get("/sandbox/behaviour", get_behaviour)
    router.add_put("/sandbox/behaviour", put_behaviour)
    router.add_get("/sandbox/people", get_people)
    router.add_put("/sandbox/people", put_people)
    router.add_get("/sandbox/faults", get_faults)
    router.add_put("/sandbox/faults", put_faults)
    router.add_put("/sandbox/shop", put_shop)
    router.add_post("/sandbox/inbound", post_inbound)
    router.add_post("/sandbox/reset", reset)


@web.middleware
async def readable_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A body that can't be used is a 422 that names the field; it never changes anything."""
    try:
        return await handler(request)
    except ValidationError as error:
        problems = [
            {"field": ".".join(str(part) for part in problem["loc"]), "message": problem["msg"]}
            for problem in error.errors()
        ]
        return _json({"error": "invalid_input", "errors": problems}, status=422)
    except orjson.JSONDecodeError as error:
        return _json({"error": "invalid_input", "errors": [{"field": "", "message": str(error)}]}, status=422)


def _json(data: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(data), content_type="application/json")


def _invalid(field: str, message: str) -> web.Response:
    return _json({"error": "invalid_input", "errors": [{"field": field, "message": message}]}, status=422)


async def health(request: web.Request) -> web.Response:
    return _json({"status": "ok"})


async def stats(request: web.Request) -> web.Response:
    return _json(request.app[SANDBOX].stats(summary=request.query.get("summary", "0") not in ("", "0", "false")))


async def get_arrivals(request: web.Request) -> web.Response:
    """When each request of an account arrived, in seconds on one clock, and the most of them in any one second."""
    found = request.app[SANDBOX].limits.arrivals.get(request.query.get("account", ""), Arrivals())
    return _json({"most_per_second": found.most_per_second, "times": list(found.times)})


async def list_accounts(request: web.Request) -> web.Response:
    """The credentials of the default account of each provider, as Relay's channel settings take them."""
    accounts = request.app[SANDBOX].accounts
    return _json({provider: accounts.default(provider).credentials for provider in PROVIDERS})


async def put_account(request: web.Request) -> web.Response:
    """Add an account or change one: fields that are left out keep what they were; without an id it is the default."""
    sandbox = request.app[SANDBOX]
    wanted = AccountBody.model_validate(orjson.loads(await request.read()))
    identity = wanted.credentials.get(IDENTITY[wanted.provider])
    if wanted.credentials and not identity:
        return _invalid(f"credentials.{IDENTITY[wanted.provider]}", "names the account and is required")
    known = sandbox.accounts.get(wanted.provider, identity) if identity else sandbox.accounts.default(wanted.provider)
    account = Account(**known.as_json()) if known else Account(wanted.provider, {})
    account.credentials = {**account.credentials, **wanted.credentials}
    for name in ("messages_per_second", "templates", "verified_senders"):
        if name in wanted.model_fields_set:
            setattr(account, name, getattr(wanted, name) or ([] if name != "messages_per_second" else None))
    webhook: dict[str, Any] = {"url": account.webhook_url}
    if wanted.webhook_url is not None:
        webhook = {"url": wanted.webhook_url, "verified": True, "detail": "saved"}
        if wanted.provider == WHATSAPP and wanted.webhook_url and wanted.handshake:
            problem = await _handshake(sandbox, wanted.webhook_url, account.credentials.get("verify_token", ""))
            if problem:
                webhook |= {"verified": False, "detail": f"not saved: {problem}"}
        if webhook["verified"]:
            account.webhook_url = wanted.webhook_url
    if wanted.inbound_url is not None:
        account.inbound_url = wanted.inbound_url
    try:
        sandbox.accounts.put(account)
    except ValueError as error:
        field, _, _ = str(error).partition(" ")
        return _invalid(field, str(error))
    reply = {"provider": account.provider, "account": account.id, "credentials": account.credentials}
    return _json({**reply, "messages_per_second": account.messages_per_second, "webhook": webhook})


async def _handshake(sandbox: Sandbox, url: str, verify_token: str) -> str:
    """Ask a WhatsApp webhook for the challenge, as Meta does before it saves the URL. Returns what is wrong."""
    challenge = str(secrets.randbelow(10**10))
    query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
    assert sandbox.dispatcher.http is not None
    try:
        async with sandbox.dispatcher.http.get(
            URL(url).update_query(query), timeout=HANDSHAKE_TIMEOUT, allow_redirects=False
        ) as answer:
            body = await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return f"{type(error).__name__} {error}".strip()
    if answer.status != 200:
        return f"the URL answered HTTP {answer.status}"
    return "" if body.strip() == challenge.encode() else "the URL did not answer with hub.challenge"


async def get_behaviour(request: web.Request) -> web.Response:
    return _json(request.app[SANDBOX].behaviour.model_dump(mode="json"))


async def put_behaviour(request: web.Request) -> web.Response:
    sandbox = request.app[SANDBOX]
    changes = orjson.loads(await request.read())
    if not isinstance(changes, dict):
        return _invalid("", "the body must be an object")
    sandbox.set_behaviour(Behaviour.model_validate({**sandbox.behaviour.model_dump(), **changes}))
    return _json(sandbox.behaviour.model_dump(mode="json"))


async def get_people(request: web.Request) -> web.Response:
    return _json([script.model_dump(mode="json") for script in request.app[SANDBOX].people.scripts.values()])


async def put_people(request: web.Request) -> web.Response:
    sandbox = request.app[SANDBOX]
    scripts = SCRIPTS.validate_python(orjson.loads(await request.read()))
    sandbox.people.set_scripts(scripts)
    sandbox.save_config()
    return _json({"people": len(sandbox.people.scripts)})


async def get_faults(request: web.Request) -> web.Response:
    faults = request.app[SANDBOX].faults
    rules = zip(faults.rules, faults.left, faults.taken, strict=True)
    return _json([rule.model_dump(mode="json") | {"left": left, "taken": taken} for rule, left, taken in rules])


async def put_faults(request: web.Request) -> web.Response:
    """Replace all faults; an empty list ends them."""
    rules = FAULTS.validate_python(orjson.loads(await request.read()))
    request.app[SANDBOX].faults.set(rules)
    return _json({"faults": len(rules)})


async def put_shop(request: web.Request) -> web.Response:
    sandbox = request.app[SANDBOX]
    sandbox.shop = Shop.model_validate(orjson.loads(await request.read()))
    sandbox.save_config()
    return _json({"url": sandbox.shop.url})


async def post_inbound(request: web.Request) -> web.Response:
    """Let a person write now."""
    sandbox = request.app[SANDBOX]
    said = Inbound.model_validate(orjson.loads(await request.read()))
    address = normal_address(said.sender)
    person = sandbox.people.known.get((CHANNELS[said.provider], address))
    account_id = said.account or (person.account if person else "") or sandbox.accounts.default(said.provider).id
    account = sandbox.accounts.get(said.provider, account_id)
    if account is None:
        return _invalid("account", f"no {said.provider} account {account_id!r}")
    now = time.time()
    if said.provider == WHATSAPP:
        context = {"context": {"from": account.display_phone_number, "id": person.message_id}} if person else {}
        content, stops = _whatsapp_content(said, context)
        event = whatsapp_events.inbound_message(account.id, address[1:], content, now, stops)
        identity = event.payload["id"]
    elif said.provider == TWILIO:
        event = twilio_events.inbound(account, address, said.text or "")
        identity = event.payload["MessageSid"]
    elif said.provider == MESSAGEBIRD:
        event = messagebird_events.inbound(account, address, said.text or "")
        identity = event.payload["id"]
    elif said.provider == MAILGUN and said.text is not None:
        event = mailgun_events.inbound(account, address, said.text, person.facts if person else None, now)
        identity = event.token
    elif said.provider == SENDGRID and said.text is not None:
        event = sendgrid_inbound.inbound(account, address, said.text, person.facts if person else None, now)
        identity = event.token
    elif said.provider == RESEND and said.text is not None:
        event = resend_events.inbound(account, address, said.text, now)
        identity = event.token
    elif said.provider == SMTP and said.text is not None:
        event = smtp_events.inbound(account, address, said.text, person.facts if person else None, now)
        identity = event.token
    elif person is None or person.facts is None:
        return _invalid("from", f"nothing was sent to {address} yet")
    elif said.provider == SMTP:
        event = smtp_events.complaint(account, address, person.facts, now)
        identity = event.token
    elif said.provider == MAILGUN:
        extra = mailgun_events.clicked(person.facts) if said.event == "click" else mailgun_events.SEEN
        event = mailgun_events.email_event(
            account.id, address, person.facts, MAILGUN_EVENTS[said.event or ""], now, extra
        )
        identity = event.payload["id"]
    elif said.provider == RESEND:
        kind = RESEND_EVENTS[said.event or ""]
        extra = resend_events.clicked(person.facts, now) if said.event == "click" else {}
        event = resend_events.email_event(account.id, address, person.facts, kind, now, extra)
        identity = event.token
    else:
        event = email_event(account.id, address, person.facts, said.event or "", now, _email_extra(said, person.facts))
        identity = event.payload["sg_event_id"]
    _happen_at_once(sandbox, event)
    sandbox.tell([(now, event)])
    return _json({"id": identity}, status=202)


def _happen_at_once(sandbox: Sandbox, event: Event) -> None:
    """The provider knows of it before the webhook is posted: a window is open, a STOP holds, from this answer on."""
    sandbox.happen(event)
    event.effect = ""


def _email_extra(said: Inbound, facts: dict[str, Any]) -> dict[str, Any]:
    return {"url": facts["link"]} if said.event == "click" else {}


def _whatsapp_content(said: Inbound, context: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The type and its object, and whether it says STOP."""
    if said.message:
        return said.message, False
    if said.button:
        return {**context, "type": "button", "button": said.button}, False
    if said.interactive:
        reply = {"type": "button_reply", "button_reply": said.interactive}
        inner = said.interactive if "type" in said.interactive else reply
        return {**context, "type": "interactive", "interactive": inner}, False
    text = said.text or ""
    return {"type": "text", "text": {"body": text}}, text.strip().upper() == "STOP"


async def reset(request: web.Request) -> web.Response:
    request.app[SANDBOX].reset()
    return _json({"status": "ok"})
