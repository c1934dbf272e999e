"""What Twilio posts: status callbacks to the URL of each message, and inbound messages to the account's webhook."""

import os
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import phonenumbers

from app.simulator.accounts import TWILIO, Account
from app.simulator.dispatcher import Call, Event
from app.simulator.people import Plan
from app.simulator.signatures import twilio_signature
from app.simulator.twilio.segments import segment_count

if TYPE_CHECKING:
    from app.simulator.sandbox import Sandbox

STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START_WORDS = frozenset({"START", "YES", "UNSTOP"})
HELP_WORDS = frozenset({"HELP", "INFO"})


def new_sid() -> str:
    return "SM" + os.urandom(16).hex()


def sender_scope(account: Account) -> str:
    """What a STOP is about: the messaging service where there is one, else the number."""
    return account.credentials.get("messaging_service_sid") or account.credentials["from_number"]


def timeline(sandbox: "Sandbox", first: str, now: float, plan: Plan) -> list[tuple[float, str, int | None]]:
    """The statuses of a message over time, the one it is created with first."""
    if plan.fate == "silent":
        return [(now, first, None)]
    sent_at, final_at = sandbox.times(2)
    final = ("undelivered", plan.code) if plan.fate == "fail" else ("delivered", None)
    return [(now, first, None), (sent_at, "sent", None), (final_at, *final)]


def schedule_callbacks(
    sandbox: "Sandbox", account: Account, message: dict[str, Any], callback: str, reference: str, plan: Plan
) -> None:
    """Report on a message as the plan says, and let the person act on it."""
    address = message["to"]
    told = []
    for at, status, code in message["timeline"][1:]:
        fields = {
            "AccountSid": account.id, "ApiVersion": "2010-04-01", "From": message["from"], "MessageSid": message["sid"],
            "MessageStatus": status, "SmsSid": message["sid"], "SmsStatus": status, "To": address,
        }  # fmt: skip
        if message["service"]:
            fields["MessagingServiceSid"] = message["service"]
        if code is not None:
            fields["ErrorCode"] = str(code)
        if status == "delivered":
            fields["RawDlrDoneDate"] = datetime.fromtimestamp(at, UTC).strftime("%y%m%d%H%M")
        effect = {"delivered": "delivered", "undelivered": "failed"}.get(status, "")
        event = Event(TWILIO, account.id, fields, url=callback, effect=effect, channel="sms", address=address)
        event.token = str(uuid.uuid4())
        told.append((at, event))
    sandbox.tell(told)
    if plan.click:
        sandbox.follow_link("sms", address, message["body"], message["timeline"][-1][0])
    for act in plan.acts:
        at = sandbox.act_time(act, message["timeline"][-1][0])
        if act.do == "buy":
            sandbox.purchase("sms", address, reference, act, at)
        else:
            sandbox.tell([(at, inbound(account, address, act.text))])


def inbound(account: Account, sender: str, text: str) -> Event:
    """A message from a person. Twilio acts on stop and start words by itself, and passes them on all the same."""
    sid, word = new_sid(), text.strip().upper()
    fields = {
        "AccountSid": account.id, "ApiVersion": "2010-04-01", "Body": text, "From": sender, "MessageSid": sid,
        "NumMedia": "0", "NumSegments": str(segment_count(text)), "SmsMessageSid": sid, "SmsSid": sid,
        "SmsStatus": "received", "To": account.credentials.get("from_number", "+15005550006"), "ToCountry": "US",
    }  # fmt: skip
    country = _country(sender)
    if country:
        fields["FromCountry"] = country
    service = account.credentials.get("messaging_service_sid")
    if service:
        fields["MessagingServiceSid"] = service
        for kind, words in (("STOP", STOP_WORDS), ("START", START_WORDS), ("HELP", HELP_WORDS)):
            if word in words:
                fields["OptOutType"] = kind
    effect = "stopped" if word in STOP_WORDS else "replied"
    event = Event(TWILIO, account.id, fields, "inbound", effect=effect, channel="sms", address=sender)
    event.token = str(uuid.uuid4())
    return event


def heard(sandbox: "Sandbox", event: Event) -> None:
    """Block or unblock a person who wrote a keyword, and nothing but the keyword."""
    account = sandbox.accounts.get(TWILIO, event.account)
    word = event.payload["Body"].strip().upper()
    if account is not None and word in STOP_WORDS:
        sandbox.block(sender_scope(account), event.address, "STOP")
    elif account is not None and word in START_WORDS:
        sandbox.block(sender_scope(account), event.address, "")


def _country(number: str) -> str | None:
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return None


def encode(account: Account, batch: list[Event]) -> Call | None:
    """One form POST, signed over the URL as it was given and the fields. A fragment only configures Twilio."""
    event = batch[0]
    url = (event.url or (account.webhook_url if event.kind == "inbound" else "")).partition("#")[0]
    if not url:
        return None
    fields = sorted(event.payload.items())
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "User-Agent": "TwilioProxy/1.1",
        "I-Twilio-Idempotency-Token": event.token,
        "X-Twilio-Signature": twilio_signature(account.credentials["auth_token"], url, fields),
    }
    return Call(url, headers, urlencode(fields).encode())
