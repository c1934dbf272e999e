"""MessageBird's messages, which a client can read back and list."""

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

MAX_MESSAGES = 200_000  # the oldest are forgotten first


class Messages:
    """Messages as plain dicts: id, account, created, parts, recipients, and the fields of the request.

    Each recipient has its number `to` and a `timeline` of [when, status, reason, error code]; the status at any time
    is the last one that is due.
    """

    def __init__(self) -> None:
        self.by_id: dict[str, dict[str, Any]] = {}
        self.by_recipient: dict[str, deque[str]] = {}

    def add(self, message: dict[str, Any]) -> None:
        """Add a message, newer than all before it; one that is known is left as it is."""
        if message["id"] in self.by_id:
            return
        self.by_id[message["id"]] = message
        for recipient in message["recipients"]:
            self.by_recipient.setdefault(recipient["to"], deque()).append(message["id"])
        if len(self.by_id) > MAX_MESSAGES:
            self._forget(self.by_id.pop(next(iter(self.by_id))))

    def _forget(self, oldest: dict[str, Any]) -> None:
        for recipient in oldest["recipients"]:
            ids = self.by_recipient[recipient["to"]]
            ids.popleft()
            if not ids:
                del self.by_recipient[recipient["to"]]

    def get(self, account: str, id: str) -> dict[str, Any] | None:
        message = self.by_id.get(id)
        return message if message is not None and message["account"] == account else None

    def find(
        self, account: str, query: Mapping[str, str], since: float | None, until: float | None
    ) -> list[dict[str, Any]]:
        """Newest first. `query` has the filters of the API that are not times."""
        if query.get("direction", "mt") != "mt":
            return []
        return [
            message
            for message in self._newest(query.get("recipient"))
            if message["account"] == account
            and (since is None or message["created"] >= since)
            and (until is None or message["created"] <= until)
            and query.get("originator", message["originator"]) == message["originator"]
            and query.get("searchterm", "") in message["body"]
        ]

    def _newest(self, recipient: str | None) -> Iterator[dict[str, Any]]:
        ids = self.by_id if recipient is None else self.by_recipient.get("+" + recipient.removeprefix("+"), ())
        return (self.by_id[id] for id in reversed(ids))


def as_resource(message: dict[str, Any], now: float, base_url: str) -> dict[str, Any]:
    """A message as the API shows it at this time."""
    items = [_item(message, recipient, now) for recipient in message["recipients"]]
    counts = {
        "totalCount": len(items),
        "totalSentCount": len(items),
        "totalDeliveredCount": sum(item["status"] == "delivered" for item in items),
        "totalDeliveryFailedCount": sum(item["status"] == "delivery_failed" for item in items),
    }
    return {
        "id": message["id"],
        "href": f"{base_url}/messages/{message['id']}",
        "direction": "mt",
        "type": message.get("type", "sms"),
        "originator": message["originator"],
        "body": message["body"],
        "reference": message["reference"],
        "reportUrl": message["reportUrl"],
        "validity": message.get("validity"),
        "gateway": message.get("gateway", 10),
        "typeDetails": message.get("typeDetails", {}),
        "datacoding": message["datacoding"],
        "mclass": message.get("mclass", 1),
        "scheduledDatetime": None,
        "createdDatetime": instant(message["created"]),
        "recipients": {**counts, "items": items},
    }


def _item(message: dict[str, Any], recipient: dict[str, Any], now: float) -> dict[str, Any]:
    at, status, reason, code = next(step for step in reversed(recipient["timeline"]) if step[0] <= now)
    item = {
        "recipient": int(recipient["to"][1:]),
        "status": status,
        "statusReason": reason,
        "statusErrorCode": code,
        "statusDatetime": instant(at),
        "messagePartCount": message["parts"],
    }
    return {name: value for name, value in item.items() if value is not None}


def instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
