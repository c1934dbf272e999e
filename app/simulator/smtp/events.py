"""What comes back by mail: delivery reports, complaints and answers, handed on as the operator's mail server would."""

import os
import time
from typing import TYPE_CHECKING, Any

from app.simulator.accounts import SMTP, Account
from app.simulator.dispatcher import Call, Event
from app.simulator.people import Plan
from app.simulator.signatures import relay_mail_signature
from app.simulator.smtp import mails

if TYPE_CHECKING:
    from app.simulator.sandbox import Sandbox

# fate -> effect, status, what the other server said
FAILURES = {
    "bounce": ("bounced", "5.1.1", "smtp; 550 5.1.1 no such user"),
    "blocked": ("blocked", "5.7.1", "smtp; 550 5.7.1 rejected by local policy"),
    "fail": ("failed", "4.4.7", "smtp; 452 4.2.2 mailbox full"),
}


def schedule_events(
    sandbox: "Sandbox", account: Account, address: str, reference: str, facts: dict[str, Any], plan: Plan
) -> None:
    """Let happen what the plan says, and report what was asked for: success is usually not."""
    if plan.fate == "silent":
        return
    (at,) = sandbox.times(1)
    wanted = facts["notify"].split(",")
    effect, status, diagnostic = FAILURES.get(plan.fate, ("delivered", "2.0.0", "smtp; 250 2.0.0 Ok"))
    action = "failed" if plan.fate in FAILURES else "delivered"
    mail = ""
    if ("FAILURE" if action == "failed" else "SUCCESS") in wanted:
        mail = mails.delivery_report(facts, address, action, status, diagnostic, at)
    sandbox.tell([(at, _event(account.id, address, mail, effect))])
    if plan.click and action == "delivered":
        sandbox.follow_link("email", address, facts["link"], at)
    for act in plan.acts if action == "delivered" else ():
        moment = sandbox.act_time(act, at)
        if act.do == "buy":
            sandbox.purchase("email", address, reference, act, moment)
        elif act.do == "reply":
            sandbox.dispatcher.schedule(inbound(account, address, act.text, facts, moment), moment)
        elif facts["one_click"]:  # without it the person finds nothing to press
            event = Event(
                "one_click", account.id, {}, "unsubscribe", url=facts["one_click"], effect="unsubscribed",
                channel="email", address=address,
            )  # fmt: skip
            sandbox.dispatcher.schedule(event, moment)


def inbound(account: Account, address: str, text: str, facts: dict[str, Any] | None, at: float) -> Event:
    """A person writes, in answer to the last message if there was one."""
    mail = mails.answer(address, account.credentials["from_email"], text, facts, at)
    return _event(account.id, address, mail, "replied")


def complaint(account: Account, address: str, facts: dict[str, Any], at: float) -> Event:
    """The person presses the button for spam. The address is taken out of what is returned."""
    return _event(account.id, address, mails.complaint(facts, at), "complained")


def _event(account_id: str, address: str, mail: str, effect: str) -> Event:
    event = Event(SMTP, account_id, {"mail": mail}, effect=effect, channel="email", address=address)
    event.token = os.urandom(12).hex()
    return event


def encode(account: Account, batch: list[Event]) -> Call | None:
    """One POST of one mail. Each attempt is signed anew."""
    (event,) = batch
    if not account.webhook_url or not event.payload["mail"] or not account.credentials.get("inbound_secret"):
        return None
    body, timestamp = event.payload["mail"].encode(), int(time.time())
    headers = {
        "Content-Type": "message/rfc822",
        "X-Relay-Signature": relay_mail_signature(account.credentials["inbound_secret"], timestamp, body),
    }
    return Call(account.webhook_url, headers, body)
