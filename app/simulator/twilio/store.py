"""Twilio's messages, which a client can read back and list."""

from collections import deque
from datetime import UTC, date, datetime
from email.utils import format_datetime
from typing import Any

MAX_MESSAGES = 200_000  # the oldest are forgotten first


class MessageStore:
    """Messages as plain dicts: sid, account, service, to, from, body, media, created, timeline.

    `timeline` lists [when, status, error code]; the status at any time is the last one that is due.
    """

    def __init__(self) -> None:
        self.by_sid: dict[str, dict[str, Any]] = {}
        self.by_recipient: dict[str, deque[str]] = {}

    def add(self, message: dict[str, Any]) -> None:
        """Add a message, newer than all before it."""
        self.by_sid[message["sid"]] = message
        self.by_recipient.setdefault(message["to"], deque()).append(message["sid"])
        if len(self.by_sid) > MAX_MESSAGES:
            oldest = self.by_sid.pop(next(iter(self.by_sid)))
            sids = self.by_recipient[oldest["to"]]
            sids.popleft()
            if not sids:
                del self.by_recipient[oldest["to"]]

    def get(self, account_sid: str, sid: str) -> dict[str, Any] | None:
        message = self.by_sid.get(sid)
        return message if message is not None and message["account"] == account_sid else None

    def find(
        self, account_sid: str, to: str | None, sender: str | None, since: date | None, until: date | None
    ) -> list[dict[str, Any]]:
        """Newest first. `since` and `until` are whole days in UTC, both included."""
        sids = self.by_recipient.get(to, ()) if to else self.by_sid
        found = []
        for sid in reversed(sids):
            message = self.by_sid[sid]
            day = datetime.fromtimestamp(message["created"], UTC).date()
            if message["account"] != account_sid or (sender and message["from"] != sender):
                continue
            if (since is None or day >= since) and (until is None or day <= until):
                found.append(message)
        return found


def as_resource(message: dict[str, Any], now: float) -> dict[str, Any]:
    """A message as the API shows it at this time."""
    status, error, sent_at, updated = message["timeline"][0][1], None, None, message["created"]
    for at, name, code in message["timeline"]:
        if at <= now:
            status, error, updated = name, code, at
            sent_at = at if name == "sent" else sent_at
    uri = f"/2010-04-01/Accounts/{message['account']}/Messages/{message['sid']}.json"
    return {
        "sid": message["sid"],
        "account_sid": message["account"],
        "messaging_service_sid": message["service"] or None,
        "status": status,
        "to": message["to"],
        "from": None if status == "accepted" else message["from"],
        "body": message["body"],
        "num_segments": "0" if status == "accepted" else str(message["segments"]),
        "num_media": str(message["media"]),
        "direction": "outbound-api",
        "price": None,
        "price_unit": "USD",
        "error_code": error,
        "error_message": None,
        "date_created": _rfc2822(message["created"]),
        "date_sent": _rfc2822(sent_at) if sent_at else None,
        "date_updated": _rfc2822(updated),
        "api_version": "2010-04-01",
        "uri": uri,
        "subresource_uris": {"media": uri.removesuffix(".json") + "/Media.json"},
    }


def _rfc2822(moment: float) -> str:
    return format_datetime(datetime.fromtimestamp(moment, UTC))
