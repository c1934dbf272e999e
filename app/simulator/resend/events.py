"""What Resend's webhooks post: one event a request, signed with the account's secret."""

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from app.simulator.accounts import RESEND, Account
from app.simulator.dispatcher import Call, Event
from app.simulator.people import Plan
from app.simulator.signatures import svix_signature

if TYPE_CHECKING:
    from app.simulator.sandbox import Sandbox

EFFECTS = {
    "email.delivered": "delivered", "email.opened": "read", "email.clicked": "clicked",
    "email.complained": "complained", "email.suppressed": "dropped", "email.failed": "failed",
}  # fmt: skip
# Why the provider itself won't deliver there again.
SUPPRESSIONS = {"bounced": "previous_bounce", "complained": "previous_complaint"}
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
Kind = tuple[str, dict[str, Any]]


def schedule_events(sandbox: "Sandbox", account: Account, address: str, facts: dict[str, Any], plan: Plan) -> None:
    """Report on an e-mail as the plan says, and let the person act on it."""
    blocked = sandbox.blocks.get((account.id, address))
    if blocked is None and plan.fate == "silent":
        return
    kinds = [_suppressed(blocked)] if blocked is not None else _kinds(plan, facts)
    times = sandbox.times(len(kinds))
    sandbox.tell(
        [
            (at, email_event(account.id, address, facts, kind, at, extra))
            for at, (kind, extra) in zip(times, kinds, strict=True)
        ]
    )
    if blocked is not None:
        return
    for act in plan.acts:
        at = sandbox.act_time(act, times[-1])
        if act.do == "buy":
            sandbox.purchase("email", address, facts["tags"].get("message_id", ""), act, at)
        elif facts["one_click"]:  # without it the person finds nothing to press that the provider would see
            event = Event(
                "one_click", account.id, {}, "unsubscribe", url=facts["one_click"], effect="unsubscribed",
                channel="email", address=address,
            )  # fmt: skip
            sandbox.dispatcher.schedule(event, at)


def _suppressed(reason: str) -> Kind:
    told = {"reason": reason, "type": "OnAccountSuppressionList", "message": "The address is on the suppression list."}
    return "email.suppressed", {"suppressed": told}


def _kinds(plan: Plan, facts: dict[str, Any]) -> list[Kind]:
    if plan.fate == "fail":
        return [("email.failed", {"failed": {"reason": "message_rejected"}})]
    sent: Kind = ("email.sent", {})
    if plan.fate == "bounce":
        return [sent, _bounce("Permanent", "General", "smtp; 550 5.1.1 no such user")]
    if plan.fate == "blocked":
        return [sent, _bounce("Transient", "General", "smtp; 421 4.7.1 try again later")]
    kinds: list[Kind] = [sent, ("email.delivered", {})]
    if plan.read:
        kinds.append(("email.opened", {}))
    if plan.click:
        kinds.append(("email.clicked", clicked(facts, time.time())))
    return kinds


def _bounce(type: str, subtype: str, diagnostic: str) -> Kind:
    told = {"type": type, "subType": subtype, "message": "The message bounced.", "diagnosticCode": [diagnostic]}
    return "email.bounced", {"bounce": told}


def clicked(facts: dict[str, Any], at: float) -> dict[str, Any]:
    return {"click": {"link": facts["link"], "ipAddress": "192.0.2.80", "timestamp": instant(at), "userAgent": BROWSER}}


def email_event(
    account_id: str, address: str, facts: dict[str, Any], kind: str, at: float, extra: dict[str, Any]
) -> Event:
    """One event about the e-mail that `facts` describes."""
    data = {
        "email_id": facts["id"],
        "created_at": instant(facts["at"]),
        "from": facts["from"],
        "to": facts["to"],
        "subject": facts["subject"],
        "tags": facts["tags"],
        **extra,
    }
    effect = EFFECTS.get(kind, "")
    if kind == "email.bounced":
        effect = "bounced" if extra["bounce"]["type"] == "Permanent" else "blocked"
    return _event(account_id, address, kind, at, data, effect)


def inbound(account: Account, address: str, subject: str, at: float) -> Event:
    """A person writes an e-mail. The event has its subject, and no body."""
    data = {
        "email_id": os.urandom(16).hex(),
        "created_at": instant(at),
        "from": address,
        "to": [account.credentials["from_email"]],
        "cc": [],
        "bcc": [],
        "message_id": f"<{os.urandom(12).hex()}@mx.example.org>",
        "subject": subject,
        "attachments": [],
    }
    return _event(account.id, address, "email.received", at, data, "replied")


def _event(account_id: str, address: str, kind: str, at: float, data: dict[str, Any], effect: str) -> Event:
    payload = {"type": kind, "created_at": instant(at), "data": data}
    event = Event(RESEND, account_id, payload, effect=effect, channel="email", address=address)
    event.token = f"msg_{os.urandom(12).hex()}"
    return event


def instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def happened(sandbox: "Sandbox", event: Event) -> None:
    """The provider keeps its own list of addresses not to deliver to. It can't see a one-click request."""
    reason = SUPPRESSIONS.get(event.effect)
    if reason is not None:
        sandbox.block(event.account, event.address, reason)


def encode(account: Account, batch: list[Event]) -> Call | None:
    """One POST of one event. Each attempt is signed anew, under the same id."""
    if not account.webhook_url:
        return None
    (event,) = batch
    body, timestamp = orjson.dumps(event.payload), str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Svix-Webhooks/1.62 (sender)",
        "svix-id": event.token,
        "svix-timestamp": timestamp,
        "svix-signature": svix_signature(account.credentials["webhook_secret"], event.token, timestamp, body),
    }
    return Call(account.webhook_url, headers, body)
