"""What SendGrid's Event Webhook posts: arrays of flat events, signed with the account's key."""

import base64
import os
import time
from typing import TYPE_CHECKING, Any

import orjson

from app.simulator.accounts import SENDGRID, Account
from app.simulator.dispatcher import Call, Event
from app.simulator.people import Plan
from app.simulator.signatures import sendgrid_signature

if TYPE_CHECKING:
    from app.simulator.sandbox import Sandbox

EFFECTS = {
    "delivered": "delivered", "open": "read", "click": "clicked", "unsubscribe": "unsubscribed",
    "spamreport": "complained", "dropped": "dropped",
}  # fmt: skip
# Why the provider itself won't deliver there again.
SUPPRESSIONS = {
    "unsubscribed": "Unsubscribed Address",
    "bounced": "Bounced Address",
    "complained": "Spam Reporting Address",
}
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def schedule_events(
    sandbox: "Sandbox", account: Account, address: str, facts: dict[str, Any], reference: str, plan: Plan
) -> None:
    """Report on a message as the plan says, and let the person act on it."""
    blocked = sandbox.blocks.get((account.id, address))
    if blocked is not None:
        kinds = [("dropped", {"reason": blocked, "status": "5.0.0"})]
    elif plan.fate == "silent":
        return
    else:
        kinds = _kinds(plan, facts)
    times = sandbox.times(len(kinds))
    told = [
        (at, email_event(account.id, address, facts, kind, at, extra))
        for at, (kind, extra) in zip(times, kinds, strict=True)
    ]
    sandbox.tell(told)
    if blocked is not None:
        return
    for act in plan.acts:
        at = sandbox.act_time(act, times[-1])
        if act.do == "buy":
            sandbox.purchase("email", address, reference, act, at)
        else:
            unsubscribe(sandbox, account, address, facts, at)


def _kinds(plan: Plan, facts: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if plan.fate == "fail":
        return [("dropped", {"reason": "Invalid", "status": "5.1.3"})]
    kinds: list[tuple[str, dict[str, Any]]] = [("processed", {})]
    if plan.fate == "bounce":
        reason = {"type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 no such user"}
        return [*kinds, ("bounce", {**reason, "bounce_classification": "Invalid Address"})]
    if plan.fate == "blocked":
        reason = {"type": "blocked", "status": "4.7.1", "reason": "421 4.7.1 try again later"}
        return [*kinds, ("bounce", {**reason, "bounce_classification": "Reputation"})]
    kinds.append(("delivered", {"response": "250 2.0.0 OK", "tls": 1, "ip": "192.0.2.25"}))
    if plan.read:
        kinds.append(("open", {"useragent": BROWSER, "ip": "192.0.2.80", "sg_machine_open": False}))
    if plan.click:
        kinds.append(("click", {"url": facts["link"], "useragent": BROWSER, "ip": "192.0.2.80"}))
    return kinds


def email_event(
    account_id: str, address: str, facts: dict[str, Any], kind: str, at: float, extra: dict[str, Any]
) -> Event:
    """One flat event about the message that `facts` describes; its custom args lie beside the fixed fields."""
    payload: dict[str, Any] = {
        **facts["args"],
        "email": facts["email"],
        "timestamp": int(at),
        "event": kind,
        "smtp-id": f"<{facts['id'].partition('.')[0]}@geopod-ismtpd-1>",
        "sg_event_id": base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("="),
        "sg_message_id": facts["id"],
        **extra,
    }
    if facts["categories"]:
        payload["category"] = facts["categories"]
    effect = EFFECTS.get(kind, "")
    if kind == "bounce":
        effect = "bounced" if extra["type"] == "bounce" else "blocked"
    return Event(SENDGRID, account_id, payload, effect=effect, channel="email", address=address)


def unsubscribe(sandbox: "Sandbox", account: Account, address: str, facts: dict[str, Any], at: float) -> None:
    """The person presses unsubscribe: the mailbox's one-click button, or the provider's own link."""
    url = facts["one_click"]
    how = sandbox.behaviour.email_unsubscribe
    if url and how != "event":
        event = Event(
            "one_click", account.id, {}, "unsubscribe", url=url, effect="unsubscribed", channel="email", address=address
        )
        sandbox.dispatcher.schedule(event, at)
    elif how != "one_click":
        sandbox.tell([(at, email_event(account.id, address, facts, "unsubscribe", at, {}))])


def happened(sandbox: "Sandbox", event: Event) -> None:
    """The provider keeps its own list of addresses not to deliver to. It can't see a one-click request."""
    reason = SUPPRESSIONS.get(event.effect)
    if reason is not None and event.provider == SENDGRID:
        sandbox.block(event.account, event.address, reason)


def encode(account: Account, batch: list[Event]) -> Call | None:
    """One POST with the batch as a JSON array, one event per line; the body ends with CR LF."""
    if not account.webhook_url:
        return None
    body = b"[" + b",\r\n".join(orjson.dumps(event.payload) for event in batch) + b"]\r\n"
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "SendGrid Event API",
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        "X-Twilio-Email-Event-Webhook-Signature": sendgrid_signature(account.id, timestamp, body),
    }
    return Call(account.webhook_url, headers, body)
