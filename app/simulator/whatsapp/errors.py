"""Error bodies of the Graph API."""

import base64
import os

from app.simulator.refusal import Refusal

TITLES = {
    1: "An unknown error has occurred",
    2: "Service temporarily unavailable",
    100: "Invalid parameter",
    130429: "Rate limit hit",
    131000: "Something went wrong",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131016: "Service unavailable",
    131021: "Recipient cannot be sender",
    131026: "Message undeliverable",
    131047: "Re-engagement message",
    131048: "Spam rate limit hit",
    131049: "This message was not delivered to maintain healthy ecosystem engagement",
    131051: "Unsupported message type",
    131053: "Media upload error",
    131056: "(Business Account, Consumer Account) pair rate limit hit",
    132000: "Number of parameters does not match the expected number of params",
    132001: "Template name does not exist in the translation",
    132012: "Parameter format does not match format in the created template",
    132015: "Template is paused",
    132016: "Template is disabled",
}
UNDELIVERABLE = (
    "Message Undeliverable. The recipient may not be a WhatsApp user, may not have accepted the latest terms, "
    "or may use an old version of the app."
)


def trace_id() -> str:
    return "A" + base64.urlsafe_b64encode(os.urandom(15)).decode()


def refuse(code: int, details: str, *, status: int = 400, retry_after: int | None = None) -> Refusal:
    """A refusal of a message, with the code that clients decide on."""
    return Refusal(
        status,
        code,
        {
            "error": {
                "message": f"(#{code}) {TITLES.get(code, 'Error')}",
                "type": "OAuthException",
                "code": code,
                "error_data": {"messaging_product": "whatsapp", "details": details},
                "fbtrace_id": trace_id(),
            }
        },
        headers={"Retry-After": str(retry_after)} if retry_after is not None else None,
        throttled=status == 429,
    )


def bad_token(message: str) -> Refusal:
    error = {"message": message, "type": "OAuthException", "code": 190, "fbtrace_id": trace_id()}
    return Refusal(401, 190, {"error": error})


def unknown_object(method: str, object_id: str) -> Refusal:
    """The Graph API's answer for an id that isn't there or isn't the token's to use."""
    error = {
        "message": f"Unsupported {method} request. Object with ID '{object_id}' does not exist, cannot be loaded due "
        "to missing permissions, or does not support this operation. Please read the Graph API documentation at "
        "https://developers.facebook.com/docs/graph-api",
        "type": "GraphMethodException",
        "code": 100,
        "error_subcode": 33,
        "fbtrace_id": trace_id(),
    }
    return Refusal(400, 100, {"error": error})
