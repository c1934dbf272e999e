"""What the Cloud API reports: statuses and inbound messages, in its envelope and signed over the raw bytes."""

import base64
import hashlib
import json
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
import phonenumbers

from app.simulator.accounts import WHATSAPP, Account
from app.simulator.dispatcher import Call, Event
from app.simulator.people import Plan
from app.simulator.signatures import meta_signature
from app.simulator.whatsapp.errors import TITLES, UNDELIVERABLE

if TYPE_CHECKING:
    from app.simulator.sandbox import Sandbox

NAMES = ("Asha R", "João Mendes", "María Núñez", "Zoë de Vries", "Günther Böhm", "Chloé Lefèvre", "Tom Baker")


def new_wamid(digits: str) -> str:
    inside = bytes((0x1D, 0x18, len(digits))) + digits.encode() + b"\x15\x02\x00\x11\x18\x12" + os.urandom(12)
    return "wamid." + base64.b64encode(inside).decode()


def schedule_statuses(
    sandbox: "Sandbox",
    account: Account,
    digits: str,
    wamid: str,
    reference: str,
    category: str,
    plan: Plan,
    *,
    plays: bool = False,
) -> None:
    """Report on a message as the plan says, and let the person act on it; who reads a sound `plays` it."""
    if plan.fate == "silent":
        return
    steps = ["failed"] if plan.fate == "fail" else ["sent", "delivered", "read"] if plan.read else ["sent", "delivered"]
    if plays and plan.read and plan.fate != "fail":
        steps.append("played")
    times = sandbox.times(len(steps))
    address = "+" + digits
    told = []
    for at, status in zip(times, steps, strict=True):
        body: dict[str, Any] = {"id": wamid, "status": status, "timestamp": str(int(at)), "recipient_id": digits}
        if reference:
            body["biz_opaque_callback_data"] = reference
        if status in ("sent", "delivered"):
            free = category == "service"
            kind = "free_customer_service" if free else "regular"
            body["pricing"] = {"billable": not free, "pricing_model": "PMP", "type": kind, "category": category}
        if status == "failed":
            body["errors"] = [_error(plan.code or 131026)]
        effect = "" if status in ("sent", "played") else status
        told.append((at, Event(WHATSAPP, account.id, body, effect=effect, channel="whatsapp", address=address)))
    sandbox.tell(told)
    for act in plan.acts:
        at = sandbox.act_time(act, times[-1])
        if act.do == "buy":
            sandbox.purchase("whatsapp", address, reference, act, at)
        else:
            sandbox.tell([(at, inbound_text(account.id, digits, act.text, at, stops=act.do == "stop"))])


def inbound_text(account_id: str, digits: str, text: str, at: float, stops: bool) -> Event:
    return inbound_message(account_id, digits, {"type": "text", "text": {"body": text}}, at, stops)


def inbound_message(account_id: str, digits: str, content: dict[str, Any], at: float, stops: bool = False) -> Event:
    """A message from a person; `content` holds its type and the object of that type."""
    message = {
        "from": digits, "from_user_id": user_id(digits), "id": new_wamid(digits), "timestamp": str(int(at)), **content,
    }  # fmt: skip
    effect = "stopped" if stops else "replied"
    return Event(WHATSAPP, account_id, message, "inbound", effect=effect, channel="whatsapp", address="+" + digits)


def _error(code: int) -> dict[str, Any]:
    title = TITLES.get(code, "Message undeliverable")
    details = UNDELIVERABLE if code == 131026 else title
    href = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/"
    return {"code": code, "title": title, "message": title, "error_data": {"details": details}, "href": href}


@lru_cache(maxsize=10_000)
def user_id(digits: str) -> str:
    """The business-scoped id of a person: country, a dot, and digits that don't reveal the number."""
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse("+" + digits)) or "US"
    except phonenumbers.NumberParseException:
        region = "US"
    return f"{region}.{int.from_bytes(hashlib.blake2b(digits.encode(), digest_size=8).digest()):020d}"


def _profile(digits: str) -> dict[str, Any]:
    name = NAMES[int(digits[-4:]) % len(NAMES)]
    return {"profile": {"name": name}, "wa_id": digits, "user_id": user_id(digits)}


def encode(account: Account, batch: list[Event]) -> Call | None:
    """One POST with the batch's statuses, messages and templates; non-ASCII characters are escaped, as Meta does."""
    if not account.webhook_url:
        return None
    statuses = [event.payload for event in batch if event.kind == "status"]
    messages = [event.payload for event in batch if event.kind == "inbound"]
    changes = []
    if statuses:
        changes.append(_change(account, {"statuses": statuses}))
    if messages:
        people = [_profile(digits) for digits in dict.fromkeys(message["from"] for message in messages)]
        changes.append(_change(account, {"contacts": people, "messages": messages}))
    waba = account.credentials["waba_id"]
    entries: list[dict[str, Any]] = [{"id": waba, "changes": changes}] if changes else []
    for event in batch:
        if event.kind == "template":
            entries.append({"id": waba, "time": event.payload["time"], "changes": [event.payload["change"]]})
    envelope = {"object": "whatsapp_business_account", "entry": entries}
    body = orjson.dumps(envelope)
    if not body.isascii():
        body = json.dumps(envelope, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "facebookexternalua",
        "X-Hub-Signature-256": meta_signature(account.credentials["app_secret"], body),
    }
    return Call(account.webhook_url, headers, body)


def _change(account: Account, value: dict[str, Any]) -> dict[str, Any]:
    metadata = {"display_phone_number": account.display_phone_number, "phone_number_id": account.id}
    return {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
