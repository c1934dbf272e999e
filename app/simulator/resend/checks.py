"""What the send endpoint refuses about a request: the first thing that is wrong with it."""

import re
from typing import Any

from app.simulator.refusal import Refusal

# one address, alone or as `Name <address>`; names with a meaning in a header stand in quotes
DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?)+"
LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]+"
MAILBOX = re.compile(rf"(?:(?:\"[^\"\r\n]*\"|[^<>\"@,;:\r\n]+) ?<({LOCAL}@{DOMAIN})>|({LOCAL}@{DOMAIN}))")
TAG = re.compile(r"[A-Za-z0-9_\-]{1,256}")
MAX_RECIPIENTS = 50
FIELDS = frozenset(
    ("from", "to", "subject", "cc", "bcc", "reply_to", "html", "text", "template", "headers", "tags", "scheduled_at",
     "attachments", "topic_id")
)  # fmt: skip


def refuse(status: int, name: str, message: str, headers: dict[str, str] | None = None) -> Refusal:
    body = {"statusCode": status, "name": name, "message": message}
    return Refusal(status, name, body, headers=headers, throttled=status == 429)


def address_in(value: Any) -> str | None:
    """The bare address, lower-case; None when it is no mailbox."""
    found = MAILBOX.fullmatch(value.strip()) if isinstance(value, str) else None
    return (found[1] or found[2]).lower() if found else None


def recipients(mail: dict[str, Any]) -> list[str]:
    """Everybody who gets it, once the mail has been checked."""
    return [
        address for name in ("to", "cc", "bcc") for value in _listed(mail.get(name)) if (address := address_in(value))
    ]


def check_mail(mail: dict[str, Any]) -> None:
    """Raises Refusal."""
    for name in ("from", "to", "subject"):
        if not mail.get(name):
            raise refuse(422, "missing_required_field", f"Missing `{name}` field.")
    for name in mail:
        if name not in FIELDS:
            raise refuse(400, "validation_error", f"The `{name}` field is not allowed.")
    if address_in(mail["from"]) is None:
        message = "Invalid `from` field. The email address needs to follow the `email@example.com` or " \
            "`Name <email@example.com>` format."  # fmt: skip
        raise refuse(422, "invalid_from_address", message)
    if not isinstance(mail["subject"], str):
        raise refuse(400, "validation_error", "The `subject` field must be a string.")
    for name in ("to", "cc", "bcc", "reply_to"):
        _check_recipients(name, mail.get(name))
    _check_content(mail)
    _check_headers(mail.get("headers"))
    _check_tags(mail.get("tags"))
    _check_attachments(mail.get("attachments"))


def check_batched(mail: Any) -> None:
    """One of a batch. Raises Refusal."""
    if not isinstance(mail, dict):
        raise refuse(422, "invalid_parameter", "Each e-mail must be an object.")
    check_mail(mail)
    if mail.get("attachments") is not None:
        raise refuse(422, "invalid_parameter", "The `attachments` field is not supported in a batch.")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _check_recipients(name: str, value: Any) -> None:
    listed = _listed(value)
    if len(listed) > MAX_RECIPIENTS:
        raise refuse(422, "invalid_parameter", f"The `{name}` field takes at most {MAX_RECIPIENTS} addresses.")
    for one in listed:
        if address_in(one) is None:
            raise refuse(
                422,
                "invalid_parameter",
                f"Invalid `{name}` field. The email address needs to follow the `email@example.com` or "
                "`Name <email@example.com>` format.",
            )


def _check_content(mail: dict[str, Any]) -> None:
    given = [name for name in ("html", "text") if mail.get(name) is not None]
    for name in given:
        if not isinstance(mail[name], str):
            raise refuse(400, "validation_error", f"The `{name}` field must be a string.")
    if mail.get("template") is not None and given:
        raise refuse(400, "validation_error", "The `template` field excludes `html` and `text`.")
    if mail.get("template") is None and not any(mail.get(name) for name in ("html", "text")):
        raise refuse(422, "missing_required_field", "Missing `html` or `text` field.")


def _check_headers(headers: Any) -> None:
    if headers is None:
        return
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise refuse(400, "validation_error", "The `headers` field must be an object of strings.")


def _check_tags(tags: Any) -> None:
    for tag in _listed(tags):
        if not isinstance(tag, dict) or {"name", "value"} - tag.keys():
            raise refuse(400, "validation_error", "Each tag needs a `name` and a `value`.")
        for part in ("name", "value"):
            if not isinstance(tag[part], str) or not TAG.fullmatch(tag[part]):
                raise refuse(
                    400,
                    "validation_error",
                    "Tags should only contain ASCII letters, numbers, underscores, or dashes, at most 256 of them.",
                )


def _check_attachments(attachments: Any) -> None:
    for attachment in _listed(attachments):
        if not isinstance(attachment, dict) or not (attachment.get("content") or attachment.get("path")):
            raise refuse(422, "invalid_attachment", "Attachment must have either a `content` or `path`.")
