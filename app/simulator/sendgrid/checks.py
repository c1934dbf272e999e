"""What Mail Send refuses with 400: every fault of a request at once, each with the path of its field."""

import re
import time
from typing import Any

ADDRESS = re.compile(
    r"[^@\s<>\",;:]+@[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?)+"
)
RESERVED_HEADERS = frozenset(
    ("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding", "to", "from",
     "subject", "reply-to", "cc", "bcc")
)  # fmt: skip
MAX_PERSONALIZATIONS = MAX_RECIPIENTS = 1_000
MAX_SUBSTITUTIONS_BYTES = 10_000
MAX_CUSTOM_ARGS_BYTES, MAX_CATEGORIES, MAX_CATEGORY, MAX_AHEAD = 10_000, 10, 255, 72 * 3_600
BYPASSES = ("bypass_spam_management", "bypass_bounce_management", "bypass_unsubscribe_management")


class Problems:
    """The errors of one request, in SendGrid's shape."""

    def __init__(self) -> None:
        self.errors: list[dict[str, Any]] = []

    def add(self, field: str | None, message: str) -> None:
        self.errors.append({"message": message, "field": field, "help": None})


def is_address(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 254 and ADDRESS.fullmatch(value) is not None


def check_mail(mail: dict[str, Any]) -> list[dict[str, Any]]:
    """Every error in a request; none means that it would be accepted."""
    problems = Problems()
    _check_personalizations(problems, mail)
    sender = mail.get("from")
    if not isinstance(sender, dict) or "email" not in sender:
        problems.add(
            "from.email",
            "The from object must be provided for every email send. It is an object that requires the email "
            "parameter, but may also contain a name parameter.",
        )
    elif not is_address(sender["email"]):
        problems.add("from.email", "The from email does not contain a valid address.")
    if mail.get("reply_to") is not None and mail.get("reply_to_list") is not None:
        problems.add("reply_to", "The reply_to and reply_to_list fields are mutually exclusive.")
    reply_to = mail.get("reply_to")
    if reply_to is not None and not (isinstance(reply_to, dict) and is_address(reply_to.get("email"))):
        problems.add("reply_to.email", "The reply_to email does not contain a valid address.")
    _check_content(problems, mail)
    _check_headers(problems, "headers", mail.get("headers"))
    _check_custom_args(problems, "custom_args", mail.get("custom_args"))
    _check_send_at(problems, "send_at", mail.get("send_at"))
    _check_categories(problems, mail.get("categories"))
    _check_rest(problems, mail)
    return problems.errors


def _check_personalizations(problems: Problems, mail: dict[str, Any]) -> None:
    personalizations = mail.get("personalizations")
    if not isinstance(personalizations, list) or not personalizations:
        problems.add(
            "personalizations",
            "The personalizations field is required and must have at least one personalization.",
        )
        return
    if len(personalizations) > MAX_PERSONALIZATIONS:
        problems.add("personalizations", f"There can be no more than {MAX_PERSONALIZATIONS} personalizations.")
        return
    recipients, subjects = 0, 0
    people: set[str] = set()
    for index, envelope in enumerate(personalizations):
        path = f"personalizations.{index}"
        if not isinstance(envelope, dict):
            problems.add(path, "Each personalization must be an object.")
            continue
        recipients += _check_recipients(problems, path, envelope)
        subjects += bool(envelope.get("subject"))
        _check_headers(problems, f"{path}.headers", envelope.get("headers"))
        _check_custom_args(problems, f"{path}.custom_args", envelope.get("custom_args"))
        _check_substitutions(problems, f"{path}.substitutions", envelope.get("substitutions"), mail)
        _check_send_at(problems, f"{path}.send_at", envelope.get("send_at"))
        _check_for_repeats(problems, path, envelope, people)
    if recipients > MAX_RECIPIENTS:
        problems.add("personalizations", f"There can be no more than {MAX_RECIPIENTS} recipients in one request.")
    if not mail.get("template_id") and not _is_text(mail.get("subject")) and subjects < len(personalizations):
        problems.add(
            "subject",
            "The subject is required. You can get around this requirement if you use a template with a subject "
            "defined or if every personalization has a subject defined.",
        )


def _check_recipients(problems: Problems, path: str, envelope: dict[str, Any]) -> int:
    seen: set[str] = set()
    number = 0
    if not isinstance(envelope.get("to"), list) or not envelope["to"]:
        problems.add(
            f"{path}.to",
            "The to array is required for all personalization objects, and must have at least one email object "
            "with a valid email address.",
        )
    for name in ("to", "cc", "bcc"):
        people = envelope.get(name, [])
        if not isinstance(people, list):
            if name != "to":
                problems.add(f"{path}.{name}", f"The {name} field must be an array.")
            continue
        for index, person in enumerate(people):
            number += 1
            email = person.get("email") if isinstance(person, dict) else None
            if not is_address(email):
                problems.add(f"{path}.{name}.{index}.email", "Does not contain a valid address.")
            elif str(email).lower() in seen:
                problems.add(
                    path,
                    "Each email address in the personalization block should be unique between to, cc, and bcc. "
                    f"We found the first duplicate instance of [{email}] in the {path}.{name} field.",
                )
            else:
                seen.add(str(email).lower())
            if isinstance(person, dict) and set(str(person.get("name") or "")) & set(";,"):
                problems.add(f"{path}.{name}.{index}.name", "The name may not contain semicolons or commas.")
    return number


def _check_for_repeats(problems: Problems, path: str, envelope: dict[str, Any], people: set[str]) -> None:
    """Everybody is in the whole array only once; the same in one personalization is told there."""
    listed = envelope.get("to")
    own = {
        str(person["email"]).lower()
        for person in (listed if isinstance(listed, list) else [])
        if isinstance(person, dict) and is_address(person.get("email"))
    }
    for email in sorted(own & people):
        problems.add(
            path,
            "Each unique email address in the personalizations array should only be included once. You have included "
            f"[{email}] more than once.",
        )
    people |= own


def _check_substitutions(problems: Problems, path: str, values: Any, mail: dict[str, Any]) -> None:
    if values is None:
        return
    if str(mail.get("template_id") or "").startswith("d-"):
        problems.add(path, "Substitutions may not be used with dynamic templating.")
    elif not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        problems.add(path, "The substitutions values must be strings.")
    elif sum(len(f"{tag}{value}".encode()) for tag, value in values.items()) > MAX_SUBSTITUTIONS_BYTES:
        problems.add(path, f"The substitutions may not exceed {MAX_SUBSTITUTIONS_BYTES} bytes.")


def _check_content(problems: Problems, mail: dict[str, Any]) -> None:
    content = mail.get("content")
    if content is None and mail.get("template_id"):
        return
    if not isinstance(content, list) or not content:
        problems.add(
            "content",
            "Unless a valid template_id is provided, the content parameter is required. There must be at least one "
            "defined content block.",
        )
        return
    kinds: list[str] = []
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not _is_text(part.get("type")):
            problems.add(f"content.{index}.type", "The content type must be a string at least one character in length.")
            continue
        kinds.append(part["type"])
        if not _is_text(part.get("value")):
            problems.add(
                f"content.{index}.value", "The content value must be a string at least one character in length."
            )
    ranks = [{"text/plain": 0, "text/html": 1}.get(kind, 2) for kind in kinds]
    if ranks != sorted(ranks):
        problems.add(
            "content", "If present, text/plain must be first, followed by text/html, followed by any other content."
        )
    if len(set(kinds)) != len(kinds):
        problems.add("content", "Each content type may only be provided once.")


def _check_headers(problems: Problems, path: str, headers: Any) -> None:
    if headers is None:
        return
    if not isinstance(headers, dict):
        problems.add(path, "The headers field must be an object.")
        return
    for name, value in headers.items():
        if name.lower() in RESERVED_HEADERS:
            problems.add(f"{path}.{name}", f"The header {name} is reserved and can not be overridden.")
        elif not isinstance(value, str):
            problems.add(f"{path}.{name}", "The header value must be a string.")


def _check_custom_args(problems: Problems, path: str, arguments: Any) -> None:
    if arguments is None:
        return
    if not isinstance(arguments, dict):
        problems.add(path, "The custom_args field must be an object.")
        return
    size = 0
    for name, value in arguments.items():
        if not isinstance(value, str):
            problems.add(f"{path}.{name}", "The custom_args values must be strings.")
        else:
            size += len(name.encode()) + len(value.encode())
    if size > MAX_CUSTOM_ARGS_BYTES:
        problems.add(path, f"The custom_args may not exceed {MAX_CUSTOM_ARGS_BYTES} bytes.")


def _check_send_at(problems: Problems, path: str, moment: Any) -> None:
    if moment is None:
        return
    if not isinstance(moment, int) or isinstance(moment, bool):
        problems.add(path, "The send_at parameter must be a unix timestamp.")
    elif moment > time.time() + MAX_AHEAD:
        problems.add(path, "The send_at parameter can not be more than 72 hours ahead.")


def _check_categories(problems: Problems, categories: Any) -> None:
    if categories is None:
        return
    if not isinstance(categories, list):
        problems.add("categories", "The categories field must be an array.")
        return
    if len(categories) > MAX_CATEGORIES:
        problems.add("categories", f"There can be no more than {MAX_CATEGORIES} categories.")
    for index, category in enumerate(categories):
        if not _is_text(category) or len(category) > MAX_CATEGORY:
            problems.add(f"categories.{index}", f"A category is a string of at most {MAX_CATEGORY} characters.")
    if len({str(category) for category in categories}) != len(categories):
        problems.add("categories", "The categories must be unique.")


def _check_rest(problems: Problems, mail: dict[str, Any]) -> None:
    attachments = mail.get("attachments", [])
    for index, attachment in enumerate(attachments if isinstance(attachments, list) else [None]):
        for name in ("content", "filename"):
            if not isinstance(attachment, dict) or not _is_text(attachment.get(name)):
                problems.add(f"attachments.{index}.{name}", f"The attachment {name} is required.")
    asm = mail.get("asm")
    if asm is not None and not (isinstance(asm, dict) and isinstance(asm.get("group_id"), int)):
        problems.add("asm.group_id", "The asm group_id is required and must be an integer.")
    for name in ("mail_settings", "tracking_settings"):
        if not isinstance(mail.get(name, {}), dict):
            problems.add(name, f"The {name} field must be an object.")
    settings = mail.get("mail_settings")
    if isinstance(settings, dict) and settings.get("bypass_list_management"):
        for name in BYPASSES:
            if settings.get(name):
                problems.add(f"mail_settings.{name}", "It can not be combined with bypass_list_management.")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
