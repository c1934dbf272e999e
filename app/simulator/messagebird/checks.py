"""What the SMS API refuses about a message: the first thing that is wrong with it."""

import re
from typing import Any
from urllib.parse import urlsplit

import orjson

from app.simulator.refusal import Refusal
from app.simulator.twilio.segments import GSM, GSM_EXTENSION

# without its plus, as the API takes it
MSISDN = re.compile(r"[1-9][0-9]{6,14}")
NUMBER = re.compile(r"\+?[1-9][0-9]{2,14}")
NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
MAX_RECIPIENTS, MAX_REFERENCE = 50, 128
MAX_GSM, MAX_UNICODE = 1_377, 603  # nine parts
# Messages for later and to groups of contacts are not in the sandbox.
FIELDS = frozenset(
    ("originator", "recipients", "body", "reference", "reportUrl", "datacoding", "type", "typeDetails", "validity",
     "gateway", "mclass", "shortenUrls")
)  # fmt: skip
CHOICES = {"datacoding": ("plain", "unicode", "auto"), "type": ("sms", "binary", "flash"), "mclass": (0, 1)}
STATUSES = {2: 401, 9: 422, 10: 422, 20: 404, 21: 400, 25: 402, 99: 500}


def refuse(code: int, description: str, parameter: str | None = None) -> Refusal:
    body = {"errors": [{"code": code, "description": description, "parameter": parameter}]}
    return Refusal(STATUSES[code], code, body)


def read_message(body: bytes) -> dict[str, Any]:
    """A message that can be sent; `recipients` are a list of digits. Raises Refusal."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict):
        raise refuse(21, "Bad request (request body is not valid JSON)")
    for name in message:
        if name not in FIELDS:
            raise refuse(10, f"{name} is not a parameter of this request", name)
    for name in ("originator", "body"):
        if not message.get(name):
            raise refuse(9, f"{name} is required", name)
        if not isinstance(message[name], str):
            raise refuse(10, f"{name} must be a string", name)
    if not NUMBER.fullmatch(message["originator"]) and not NAME.fullmatch(message["originator"]):
        raise refuse(10, "originator is invalid", "originator")
    recipients = _recipients(message.get("recipients"))
    _check_choices(message)
    _check_length(message["body"], message.get("datacoding", "plain"))
    _check_reporting(message)
    return {"reference": None, "reportUrl": "", "datacoding": "plain", **message, "recipients": recipients}


def _recipients(given: Any) -> list[str]:
    listed = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else []
    if not listed:
        raise refuse(9, "no (correct) recipients found", "recipients")
    if len(listed) > MAX_RECIPIENTS:
        raise refuse(10, f"at most {MAX_RECIPIENTS} recipients", "recipients")
    numbers = [str(one).strip() for one in listed]
    if not all(MSISDN.fullmatch(number) for number in numbers):
        raise refuse(9, "no (correct) recipients found", "recipients")
    return list(dict.fromkeys(numbers))


def _check_choices(message: dict[str, Any]) -> None:
    for name, allowed in CHOICES.items():
        if name in message and message[name] not in allowed:
            raise refuse(10, f"{name} must be one of {', '.join(map(str, allowed))}", name)
    validity = message.get("validity", 1)
    if not isinstance(validity, int) or validity < 1:
        raise refuse(10, "validity must be a number of seconds", "validity")


def _check_length(text: str, datacoding: str) -> None:
    units = gsm_septets(text) if datacoding != "unicode" else None
    if units is None and datacoding != "plain":
        units, most = len(text.encode("utf-16-le")) // 2, MAX_UNICODE
    else:
        units, most = units if units is not None else len(text), MAX_GSM  # `plain` replaces what is not GSM 03.38
    if units > most:
        raise refuse(10, "body is too long", "body")


def gsm_septets(text: str) -> int | None:
    """How many places it takes in the GSM alphabet; None when a character is not in there."""
    if not all(character in GSM or character in GSM_EXTENSION for character in text):
        return None
    return sum(2 if character in GSM_EXTENSION else 1 for character in text)


def _check_reporting(message: dict[str, Any]) -> None:
    reference, url = message.get("reference"), message.get("reportUrl")
    if reference is not None and (not isinstance(reference, str) or len(reference) > MAX_REFERENCE):
        raise refuse(10, f"reference must be a string of at most {MAX_REFERENCE} characters", "reference")
    if url is None:
        return
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        usable = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", url):
        raise refuse(10, "reportUrl is not a valid URL", "reportUrl")
