"""What MessageBird reports: by GET on each message that has a reference, and by POST what people write."""

import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from app.simulator.accounts import MESSAGEBIRD, Account
from app.simulator.dispatcher import Call, Event
from app.simulator.messagebird.store import instant
from app.simulator.people import Plan
from app.simulator.signatures import messagebird_token

if TYPE_CHECKING:
    from app.simulator.sandbox import Sandbox

STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"})
START_WORDS = frozenset({"START", "YES", "UNSTOP"})
REASONS = {
    0: "generic delivery failure", 1: "unknown subscriber", 8: "unavailable subscriber", 9: "unknown subscriber",
    27: "unavailable subscriber", 31: "unavailable subscriber", 34: "received network error",
    101: "insufficient balance", 103: "opted-out", 104: "carrier rejected",
}  # fmt: skip
# The codes by which other providers, and so the behaviour's defaults, call the same failures.
ALSO = {30003: 27, 30005: 1, 30006: 1, 30007: 104}
VIRTUAL_NUMBER = "3197010240001"  # that people write to where messages go out under a name
Step = tuple[float, str, str | None, int | None]


def new_id() -> str:
    return os.urandom(16).hex()


def timeline(sandbox: "Sandbox", account: Account, address: str, now: float, plan: Plan) -> list[Step]:
    """The statuses of a message over time, the one it is created with first."""
    first: Step = (now, "sent", None, None)
    if plan.fate == "silent":
        return [first]
    sent_at, final_at = sandbox.times(2)
    code = _failure(sandbox, account, address, plan)
    if code is None:
        return [first, (sent_at, "sent", None, None), (final_at, "delivered", "successfully delivered", None)]
    return [first, (sent_at, "sent", None, None), (final_at, "delivery_failed", REASONS[code], code)]


def _failure(sandbox: "Sandbox", account: Account, address: str, plan: Plan) -> int | None:
    if sandbox.blocks.get((account.credentials["originator"], address)):
        return 103
    if plan.fate == "not_mobile":
        return 1
    if plan.fate != "fail":
        return None
    code = ALSO.get(plan.code or 0, plan.code or 0)
    return code if code in REASONS else 0


def schedule_reports(sandbox: "Sandbox", account: Account, message: dict[str, Any], address: str, plan: Plan) -> None:
    """Report on a message as the plan says, and let the person act on it."""
    steps = next(recipient["timeline"] for recipient in message["recipients"] if recipient["to"] == address)
    told = [(step[0], _report(account, message, address, step)) for step in steps[1:]]
    sandbox.tell(told)
    if steps[-1][1] == "delivery_failed":
        return
    if plan.click:
        sandbox.follow_link("sms", address, message["body"], steps[-1][0])
    for act in plan.acts:
        at = sandbox.act_time(act, steps[-1][0])
        if act.do == "buy":
            sandbox.purchase("sms", address, message["reference"] or "", act, at)
        else:
            sandbox.tell([(at, inbound(account, address, act.text))])


def _report(account: Account, message: dict[str, Any], address: str, step: Step) -> Event:
    at, status, reason, code = step
    fields = {
        "id": message["id"], "reference": message["reference"], "recipient": address[1:], "status": status,
        "statusReason": reason, "statusErrorCode": code, "statusDatetime": instant(at),
        "originator": message["originator"], "messagePartCount": message["parts"],
    }  # fmt: skip
    payload = {name: str(value) for name, value in fields.items() if value is not None}
    effect = {"delivered": "delivered", "delivery_failed": "failed"}.get(status, "")
    kind = "status" if message["reference"] else "untold"  # without a reference there are no reports
    return Event(
        MESSAGEBIRD, account.id, payload, kind, url=message["reportUrl"], effect=effect, channel="sms", address=address
    )


def inbound(account: Account, sender: str, text: str) -> Event:
    """A message from a person, as a number's flow forwards it."""
    own = account.credentials["originator"].removeprefix("+")
    fields = {
        "id": new_id(),
        "originator": sender[1:],
        "recipient": own if own.isdigit() else VIRTUAL_NUMBER,
        "body": text,
        "createdDatetime": instant(time.time()),
    }
    effect = "stopped" if text.strip().upper() in STOP_WORDS else "replied"
    return Event(MESSAGEBIRD, account.id, fields, "inbound", effect=effect, channel="sms", address=sender)


def heard(sandbox: "Sandbox", event: Event) -> None:
    """From a STOP on, whatever is sent to this person fails as opted out."""
    account = sandbox.accounts.get(MESSAGEBIRD, event.account)
    word = event.payload["body"].strip().upper()
    if account is not None and word in STOP_WORDS:
        sandbox.block(account.credentials["originator"], event.address, "STOP")
    elif account is not None and word in START_WORDS:
        sandbox.block(account.credentials["originator"], event.address, "")


def encode(account: Account, batch: list[Event]) -> Call | None:
    """A report is a GET whose query says it; a message is a form. Each attempt is signed anew."""
    event = batch[0]
    url = event.url or account.webhook_url
    if not url or event.kind == "untold":
        return None
    fields = urlencode(event.payload)
    headers = {"User-Agent": "MessageBird/1.0"}
    if event.kind == "inbound":
        method, body = "POST", fields.encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    else:
        method, body = "GET", b""
        url += ("&" if "?" in url else "?") + fields
    key = account.credentials["signing_key"]
    headers["MessageBird-Signature-JWT"] = messagebird_token(key, url, body, int(time.time()))
    return Call(url, headers, body, method)
