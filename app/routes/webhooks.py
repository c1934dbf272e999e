"""Where providers report. The answer comes once the reports are committed; what they mean is worked out afterwards."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope

from app.channels.base import WebhookEvent, WebhookRequest
from app.domain.status import Channel
from app.errors import Malformed, NotFound, TooLarge
from app.services.webhooks import WebhookIntake

PREFIX = "/v1/webhooks/"
CHANNELS = {channel.value: channel for channel in Channel}
SILENCE = Response(b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>', media_type="text/xml")
STORED = Response()
OK = PlainTextResponse("OK")  # as MessageBird asks for
MESSAGEBIRD = frozenset({"messagebird-signature-jwt", "messagebird-signature"})


class RawRoute(APIRoute):
    """Hands the request to its endpoint as it came: the signature covers the bytes, and nothing else is validated."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


router = APIRouter(prefix=PREFIX.rstrip("/"), tags=["Webhooks"], route_class=RawRoute)


def headers_of(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def read_webhook(scope: Scope, receive: Receive, public_url: str, most_bytes: int) -> WebhookRequest:
    """The request as the provider made it: its address from our own configuration, not from its Host header.

    Raises TooLarge, or Malformed when it ends early.
    """
    path = scope.get("raw_path") or scope["path"].encode()
    query = scope["query_string"].decode("latin-1")
    headers = headers_of(scope)
    return WebhookRequest(
        method=scope["method"],
        url=f"{public_url}{path.decode('latin-1')}{'?' if query else ''}{query}",
        headers=headers,
        query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
        body=await _body(receive, headers.get("content-length", ""), most_bytes),
    )


async def _body(receive: Receive, length: str, most_bytes: int) -> bytes:
    if length.isdecimal() and int(length) > most_bytes:
        raise TooLarge(f"A webhook may have {most_bytes} bytes at most.")
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("The body ended before its end.")
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > most_bytes:
            raise TooLarge(f"A webhook may have {most_bytes} bytes at most.")
        if not message.get("more_body", False):
            return bytes(body)


async def _receive(scope: Scope, receive: Receive, channel: Channel, settings_id: str | None) -> Response:
    intake: WebhookIntake = scope["app"].state.webhooks
    named = _uuid(settings_id)
    most_bytes = await intake.most_bytes_of(channel, named, headers_of(scope).get("content-type", ""))
    webhook = await read_webhook(scope, receive, intake.public_url, most_bytes)
    return answer_to(channel, webhook, await intake.receive(channel, named, webhook))


def answer_to(channel: Channel, webhook: WebhookRequest, events: Sequence[WebhookEvent]) -> Response:
    """What a provider is told once its reports are stored. The webhook was verified: its signature says whose it is."""
    if channel is not Channel.SMS:
        return STORED
    if not MESSAGEBIRD.isdisjoint(webhook.headers):
        return OK
    # Twilio takes the body of this answer for the reply to the person: none
    return SILENCE if any(event.message_type for event in events) else STORED


def _uuid(given: str | None) -> UUID | None:
    if given is None:
        return None
    try:
        return UUID(given)
    except ValueError:
        raise NotFound(f"There is no channel setting {given[:40]!r}.") from None


async def _through_router(request: Request, channel: Channel) -> Response:
    return await _receive(request.scope, request.receive, channel, request.path_params.get("settings_id"))


async def receive_whatsapp(request: Request) -> Response:
    """Delivery reports, replies and template decisions of the WhatsApp Cloud API, signed with the app secret.

    Without an id in the address the phone number id in the body says whose it is.
    """
    return await _through_router(request, Channel.WHATSAPP)


async def receive_email(request: Request) -> Response:
    """SendGrid's event webhook, signed with the key of its signed event webhook, and its Inbound Parse, which has the
    token of the setting's `inbound_url` instead; Resend's webhook, signed with its secret; Mailgun's webhooks and
    routes, whose body carries a signature by the HTTP webhook signing key; and whole mails (`message/rfc822`) that came
    back to an SMTP sender, in `X-Relay-Signature` signed with its inbound secret.

    Without an id in the address the `settings_id` that every message carries says whose each event is. What people
    write to Inbound Parse or a route of Mailgun, and mail for SMTP, needs the id.
    """
    return await _through_router(request, Channel.EMAIL)


async def receive_sms(request: Request) -> Response:
    """Twilio's status callbacks and inbound messages, signed with the auth token, and MessageBird's inbound messages,
    signed with the signing key.

    Without an id in the address the account in the form says whose it is; MessageBird's names the number that was
    written to.
    """
    return await _through_router(request, Channel.SMS)


async def receive_sms_by_get(request: Request) -> Response:
    """MessageBird's delivery reports, whose fields are the query, signed with the signing key. Answered with `OK`.

    Without an id in the address the `originator` says whose it is. Webhooks of Twilio that are configured as GET are
    taken as well.
    """
    return await _through_router(request, Channel.SMS)


async def answer_whatsapp_challenge(request: Request) -> Response:
    """Meta's subscription handshake: answers `hub.challenge` when `hub.verify_token` is the configured one."""
    intake: WebhookIntake = request.app.state.webhooks
    challenge = await intake.answer_challenge(
        Channel.WHATSAPP, _uuid(request.path_params.get("settings_id")), request.query_params
    )
    return PlainTextResponse(challenge, headers={"x-content-type-options": "nosniff"})


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "Rightly signed, but it cannot be read; `detail` says where."},
    401: {"description": "The signature is missing or wrong. Nothing was stored."},
    404: {"description": "There is no such channel setting."},
    413: {"description": "The body is too large."},
    503: {"description": "It could not be stored; the provider delivers it again."},
}
HANDSHAKE_PROBLEMS: dict[int | str, dict[str, Any]] = {
    403: {"description": "The verify token is not the configured one."},
    404: {"description": "There is no such channel setting."},
}
SETTINGS_ID = {
    "name": "settings_id",
    "in": "path",
    "required": True,
    "description": "The channel setting, as in its `webhook_url`.",
    "schema": {"type": "string", "format": "uuid"},
}
HUB_QUERY = [
    {"name": "hub.mode", "in": "query", "required": True, "schema": {"type": "string", "const": "subscribe"}},
    {"name": "hub.verify_token", "in": "query", "required": True, "schema": {"type": "string"}},
    {"name": "hub.challenge", "in": "query", "required": True, "schema": {"type": "string"}, "example": "1158201444"},
]
WHATSAPP_EXAMPLE = {
    "object": "whatsapp_business_account",
    "entry": [
        {
            "id": "200300400500600",
            "changes": [
                {
                    "field": "messages",
                    "value": {
                        "messaging_product": "whatsapp",
                        "metadata": {"display_phone_number": "15005550222", "phone_number_id": "300400500600700"},
                        "statuses": [
                            {
                                "id": "wamid.OUT9",
                                "status": "delivered",
                                "timestamp": "1790000050",
                                "recipient_id": "15005550111",
                                "biz_opaque_callback_data": "0199d1f2-7c3a-7d50-9c86-2f7a9d1b6e11",
                            }
                        ],
                    },
                }
            ],
        }
    ],
}
EMAIL_EXAMPLE = [
    {
        "email": "ana@example.com",
        "timestamp": 1790000050,
        "event": "delivered",
        "sg_event_id": "ZGVsaXZlcmVkLTAx",
        "sg_message_id": "Zq1xTn8pQ0.recvd-7c9-1-69A5-1.0",
        "message_id": "0199d1f2-7c3a-7d50-9c86-2f7a9d1b6e11",
        "settings_id": "0199d1f2-0000-7d50-9c86-2f7a9d1b6e11",
    }
]
REPORT_QUERY = [
    {"name": name, "in": "query", "required": False, "schema": {"type": "string"}, "example": example}
    for name, example in {
        "id": "b6c8d0e2f4a61728394a5b6c7d8e9f00",
        "reference": "0199d1f2-7c3a-7d50-9c86-2f7a9d1b6e11",
        "recipient": "351910000001",
        "originator": "ExampleShop",
        "status": "delivery_failed",
        "statusReason": "unknown subscriber",
        "statusErrorCode": "1",
        "statusDatetime": "2026-03-02T09:16:10+00:00",
    }.items()
]
SMS_EXAMPLE = {
    "AccountSid": "AC0123456789abcdef0123456789abcdef",
    "MessageSid": "SM00000000000000000000000000000001",
    "MessageStatus": "delivered",
    "From": "+15005550006",
    "To": "+351910000001",
}

Endpoint = Callable[[Request], Awaitable[Response]]


def _add(path: str, endpoint: Endpoint, content_type: str, example: Any) -> None:
    """The route with and without the id of a channel setting."""
    body = {"required": True, "content": {content_type: {"schema": {}, "example": example}}}
    for suffix, parameters in (("", []), ("/{settings_id}", [SETTINGS_ID])):
        router.add_api_route(
            path + suffix,
            endpoint,
            methods=["POST"],
            response_class=Response,
            responses=PROBLEMS,
            openapi_extra={"requestBody": body, "parameters": parameters, "security": []},
            operation_id=f"{endpoint.__name__}{'_by_id' if parameters else ''}",
        )


_add("/whatsapp", receive_whatsapp, "application/json", WHATSAPP_EXAMPLE)
_add("/email", receive_email, "application/json", EMAIL_EXAMPLE)
_add("/sms", receive_sms, "application/x-www-form-urlencoded", SMS_EXAMPLE)
for _suffix, _parameters in (("", HUB_QUERY), ("/{settings_id}", [SETTINGS_ID, *HUB_QUERY])):
    router.add_api_route(
        f"/whatsapp{_suffix}",
        answer_whatsapp_challenge,
        methods=["GET"],
        response_class=PlainTextResponse,
        responses=HANDSHAKE_PROBLEMS,
        openapi_extra={"parameters": _parameters, "security": []},
        operation_id=f"answer_whatsapp_challenge{'_by_id' if _suffix else ''}",
    )
for _suffix, _parameters in (("", REPORT_QUERY), ("/{settings_id}", [SETTINGS_ID, *REPORT_QUERY])):
    router.add_api_route(
        f"/sms{_suffix}",
        receive_sms_by_get,
        methods=["GET"],
        response_class=Response,
        responses=PROBLEMS,
        openapi_extra={"parameters": _parameters, "security": []},
        operation_id=f"receive_sms_by_get{'_by_id' if _suffix else ''}",
    )
