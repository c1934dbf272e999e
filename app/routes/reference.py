"""What the API reference says beyond the routes themselves."""

from typing import Any

from fastapi import FastAPI

from app.schemas.base import FieldProblem, Problem

DESCRIPTION = """\
Omni-channel messaging over WhatsApp, e-mail and SMS: contacts, consents, templates, campaigns with fallback and
follow-ups, single messages, conversions.

Every request carries `Authorization: Bearer rk_…`. Requests may spell fields in `snake_case` or `camelCase`; answers
use `snake_case`. Errors are `application/problem+json` (RFC 9457) with a pointer to each bad field. A POST with an
`Idempotency-Key` may be repeated safely: the same key and body get the same answer, the same key with another body
gets 409.
"""
TAGS = [
    {"name": "Tenant", "description": "Who sends, and the rules for all messages: quiet hours, caps, answers."},
    {"name": "Channel settings", "description": "The senders: one per WhatsApp number, SMS account or e-mail account."},
    {"name": "Templates", "description": "Content written once, rendered to every channel."},
    {"name": "Contacts", "description": "People, their addresses and what they allowed."},
    {"name": "Imports", "description": "Contacts from files."},
    {"name": "Suppressions", "description": "Addresses that nobody writes to."},
    {"name": "Exports", "description": "People, consents and how they came about, and suppressions, as CSV."},
    {"name": "Segments", "description": "Rules that select contacts."},
    {"name": "Campaigns", "description": "One template to a segment, with fallback channels and follow-ups."},
    {"name": "Messages", "description": "Single messages, and conversations."},
    {"name": "Conversions", "description": "Purchases, credited to the message that brought them."},
    {"name": "Analytics", "description": "What was sent and what came of it."},
    {"name": "Webhooks", "description": "Where the providers report."},
    {"name": "Unsubscribe", "description": "The page behind the unsubscribe link of a message."},
    {"name": "Links", "description": "Short links, and what counts as a click."},
    {"name": "Health", "description": "For load balancers and operators."},
]
HEADERS = {
    "Idempotency-Key": "Makes a repeat safe: the same key and body get the same answer.",
    "X-Tenant-Id": "Id or slug of the tenant; must agree with the API key. `X-Client-Id` is the same.",
}


def describe(app: FastAPI) -> None:
    """Have the OpenAPI document name the headers that every route understands."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            for operations in document["paths"].values():
                for method, operation in operations.items():
                    if "security" in operation:
                        names = HEADERS if method == "post" else {"X-Tenant-Id": HEADERS["X-Tenant-Id"]}
                        operation.setdefault("parameters", []).extend(_header(*item) for item in names.items())
                    operation["tags"] = [tag.capitalize() for tag in operation["tags"]]
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for model in (Problem, FieldProblem):
                schemas.setdefault(model.__name__, model.model_json_schema(ref_template="#/components/schemas/{model}"))
            schemas["Problem"].pop("$defs", None)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "maxLength": 255},
    }
