"""What Mailgun's webhooks post: one event a request, signed with the account's key in the body itself."""

import base64
import os
import time
from email.utils import formatdate, parseaddr
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson

from app.simulator.accounts import MAILGUN, Account
from app.simulator.dispatcher import Call, Event
from app.simulator.people import Act, Plan
from app.simulator.signatures import mailgun_signature

if TYPE_CHECKING:
    from app.simulator.sandbox import Sandbox

EFFECTS = {
    "delivered": "delivered", "opened": "read", "clicked": "clicked", "unsubscribed": "unsubscribed",
    "complained": "complained", "rejected": "failed",
}  # fmt: skip
# Why the provider itself won't deliver there again, and the number it gives to that.
SUPPRESSIONS = {"bounced": "bounce", "unsubscribed": "unsubscribe", "complained": "complaint"}
SUPPRESSED_CODES = {"bounce": 605, "unsubscribe": 606, "complaint": 607}
ROUTE = "route"  # the kind of an event that a route posts as a form
CLIENT = {
    "client-type": "browser", "client-os": "Linux", "device-type": "desktop", "client-name": "Firefox", "bot": "",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}  # fmt: skip
SEEN = {
    "ip": "192.0.2.80", "client-info": CLIENT, "geolocation": {"country": "PT", "region": "11", "city": "Lisbon"},
}  # fmt: skip
Kind = tuple[str, dict[str, Any]]


def schedule_events(sandbox: "Sandbox", account: Account, address: str, facts: dict[str, Any], plan: Plan) -> None:
    """Report on an e-mail as the plan says, and let the person act on it."""
    blocked = sandbox.blocks.get((account.id, address))
    if blocked is None and plan.fate == "silent":
        log_accepted(sandbox, account, address, facts)
        return
    kinds = [("accepted", {}), _suppressed(blocked)] if blocked is not None else _kinds(plan, facts)
    times = sandbox.times(len(kinds))
    told = []
    for at, (kind, extra) in zip(times, kinds, strict=True):
        event = email_event(account.id, address, facts, kind, at, extra)
        sandbox.mailgun_events.add(account.id, facts["at"] if kind == "accepted" else at, event.payload)
        told.append((at, event))
    sandbox.tell(told)
    if blocked is None:
        for act in plan.acts:
            _act(sandbox, account, address, facts, act, sandbox.act_time(act, times[-1]))


def _act(sandbox: "Sandbox", account: Account, address: str, facts: dict[str, Any], act: Act, at: float) -> None:
    """Buy, or unsubscribe: by the mailbox's one-click button, or the provider's own link."""
    how = sandbox.behaviour.email_unsubscribe
    if act.do == "buy":
        sandbox.purchase("email", address, facts["variables"].get("message_id", ""), act, at)
    elif facts["one_click"] and how != "event":
        event = Event(
            "one_click", account.id, {}, "unsubscribe", url=facts["one_click"], effect="unsubscribed",
            channel="email", address=address,
        )  # fmt: skip
        sandbox.dispatcher.schedule(event, at)
    elif how != "one_click":
        sandbox.tell([(at, email_event(account.id, address, facts, "unsubscribed", at, SEEN))])


def _kinds(plan: Plan, facts: dict[str, Any]) -> list[Kind]:
    if plan.fate == "fail":
        return [("rejected", {"reject": {"reason": "Sandbox", "description": "The message was rejected."}})]
    accepted: Kind = ("accepted", {})
    if plan.fate == "bounce":
        return [accepted, _failed("permanent", "bounce", 550, "5.1.1", "5.1.1 no such user")]
    if plan.fate == "blocked":
        later = _failed("temporary", "generic", 421, "4.7.1", "4.7.1 try again later")
        return [accepted, later, _failed("permanent", "old", 498, "", "Too old")]
    kinds: list[Kind] = [accepted, ("delivered", {"delivery-status": _status(250, "", "OK")})]
    if plan.read:
        kinds.append(("opened", SEEN))
    if plan.click:
        kinds.append(("clicked", clicked(facts)))
    return kinds


def clicked(facts: dict[str, Any]) -> dict[str, Any]:
    return {**SEEN, "url": facts["link"]}


def log_accepted(sandbox: "Sandbox", account: Account, address: str, facts: dict[str, Any]) -> None:
    at = facts["at"]
    sandbox.mailgun_events.add(account.id, at, event_data(address, facts, "accepted", at, {}))


def _suppressed(why: str) -> Kind:
    message = "Not delivering to previously bounced, unsubscribed or complaining address"
    return _failed("permanent", f"suppress-{why}", SUPPRESSED_CODES[why], "", message)


def _failed(severity: str, reason: str, code: int, enhanced: str, message: str) -> Kind:
    status = _status(code, enhanced, message)
    if severity == "temporary":
        status["retry-seconds"] = 600
    return "failed", {"severity": severity, "reason": reason, "delivery-status": status}


def _status(code: int, enhanced: str, message: str) -> dict[str, Any]:
    status = {
        "attempt-no": 1,
        "code": code,
        "message": message,
        "description": "",
        "session-seconds": 0.42,
        "tls": True,
    }
    return {**status, "enhanced-code": enhanced} if enhanced else status


def event_data(address: str, facts: dict[str, Any], kind: str, at: float, extra: dict[str, Any]) -> dict[str, Any]:
    """One event about the e-mail that `facts` describes. A rejected one names the person in its headers only."""
    sender = parseaddr(facts["from"])[1]
    data: dict[str, Any] = {
        "id": base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("="),
        "event": kind,
        "timestamp": at,
        "log-level": "error" if extra.get("severity") == "permanent" else "info",
        "envelope": {"transport": "smtp", "sender": sender, "sending-ip": "192.0.2.14", "targets": address},
        "flags": {"is-routed": False, "is-authenticated": True, "is-system-test": False, "is-test-mode": False},
        "message": {
            "headers": {"to": address, "from": facts["from"], "subject": facts["subject"], "message-id": facts["id"]},
            "attachments": [],
            "size": facts["size"],
        },
        "tags": facts["tags"],
        "user-variables": facts["variables"],
        **extra,
    }
    if kind != "rejected":
        data |= {"recipient": address, "recipient-domain": address.rpartition("@")[2]}
    return data


def email_event(
    account_id: str, address: str, facts: dict[str, Any], kind: str, at: float, extra: dict[str, Any]
) -> Event:
    effect = EFFECTS.get(kind, "")
    if kind == "failed" and extra["severity"] == "permanent":
        effect = {"bounce": "bounced", "old": "blocked"}.get(extra["reason"], "dropped")
    payload = event_data(address, facts, kind, at, extra)
    return Event(MAILGUN, account_id, payload, effect=effect, channel="email", address=address)


def inbound(account: Account, address: str, text: str, facts: dict[str, Any] | None, at: float) -> Event:
    """A person answers the last e-mail, or writes one of their own; a route posts it."""
    own_id = f"{os.urandom(12).hex()}@mx.example.com"
    subject = f"Re: {facts['subject']}" if facts else "Hello"
    headers = [
        ["Return-Path", f"<{address}>"], ["From", f"Ana <{address}>"], ["Subject", subject],
        ["Date", formatdate(at)], ["Message-Id", f"<{own_id}>"],
    ]  # fmt: skip
    quoted = ""
    if facts:
        headers += [["In-Reply-To", f"<{facts['id']}>"], ["References", f"<{facts['id']}>"]]
        quoted = f"\r\n\r\nOn {formatdate(facts['at'])}, {facts['from']} wrote:\r\n> {facts['subject']}\r\n"
    payload = {
        "recipient": account.credentials["from_email"],
        "sender": address,
        "from": f"Ana <{address}>",
        "subject": subject,
        "body-plain": text + quoted,
        "stripped-text": text,
        "stripped-signature": "",
        "body-html": "",
        "attachment-count": "0",
        "message-headers": orjson.dumps(headers).decode(),
    }
    return Event(MAILGUN, account.id, payload, ROUTE, effect="replied", channel="email", address=address, token=own_id)


def happened(sandbox: "Sandbox", event: Event) -> None:
    """The provider keeps its own list of addresses not to deliver to. It can't see a one-click request."""
    reason = SUPPRESSIONS.get(event.effect)
    if reason is not None:
        sandbox.block(event.account, event.address, reason)


def encode(account: Account, batch: list[Event]) -> Call | None:
    """One POST of one event, or of one person's mail as a form. Each attempt is signed anew."""
    if not account.webhook_url:
        return None
    (event,) = batch
    timestamp, token = str(int(time.time())), os.urandom(25).hex()
    signed = {
        "timestamp": timestamp,
        "token": token,
        "signature": mailgun_signature(account.credentials["webhook_signing_key"], timestamp, token),
    }
    if event.kind == ROUTE:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "mailgun/treq-1"}
        return Call(account.webhook_url, headers, urlencode({**event.payload, **signed}).encode())
    body = orjson.dumps({"signature": signed, "event-data": event.payload})
    return Call(account.webhook_url, {"Content-Type": "application/json", "User-Agent": "mailgun/events"}, body)
