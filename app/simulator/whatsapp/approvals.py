"""What Meta decides about a template, on demand: `POST /sandbox/templates` changes it and reports the change."""

import time
from typing import Any

import orjson
from aiohttp import web
from pydantic import Field, model_validator

from app.simulator.accounts import WHATSAPP, Account
from app.simulator.behaviour import Shape
from app.simulator.dispatcher import Event
from app.simulator.sandbox import Sandbox
from app.simulator.serve import SANDBOX
from app.simulator.whatsapp.templates import template_id


class TemplateChange(Shape):
    """`account` is a phone number id, by default the sandbox's own. `reason` goes with `status`."""

    account: str | None = None
    name: str
    language: str
    status: str | None = Field(None, pattern=r"^[A-Z_]+$")
    reason: str = "NONE"
    category: str | None = Field(None, pattern=r"^[A-Z_]+$")
    quality: str | None = Field(None, pattern=r"^[A-Z]+$")

    @model_validator(mode="after")
    def _changes_something(self) -> "TemplateChange":
        if not (self.status or self.category or self.quality):
            raise ValueError("give status, category or quality")
        return self


async def post_template(request: web.Request) -> web.Response:
    sandbox = request.app[SANDBOX]
    change = TemplateChange.model_validate(orjson.loads(await request.read()))
    account = sandbox.accounts.get(WHATSAPP, change.account) if change.account else sandbox.accounts.default(WHATSAPP)
    definitions = account.templates if account is not None and isinstance(account.templates, list) else []
    wanted = (change.name, change.language)
    definition = next((it for it in definitions if (it["name"], it["language"]) == wanted), None)
    if account is None or definition is None:
        problem = {"field": "name", "message": f"this account has no template {change.name!r} in {change.language!r}"}
        return web.json_response({"error": "invalid_input", "errors": [problem]}, status=422)
    reports = _apply(account, definition, change)
    sandbox.accounts.put(account)
    _tell(sandbox, account, reports)
    return web.json_response({"id": template_id(definition), "reports": len(reports)}, status=202)


def _apply(account: Account, definition: dict[str, Any], change: TemplateChange) -> list[dict[str, Any]]:
    """Change the definition; the `changes` that Meta would post, one for each field."""
    named = {
        "message_template_id": int(template_id(definition)),
        "message_template_name": change.name,
        "message_template_language": change.language,
    }
    new, reports = dict(definition), []
    if change.category:
        value = {**named, "previous_category": new.get("category", "MARKETING"), "new_category": change.category}
        reports.append({"field": "template_category_update", "value": value})
        new["category"] = change.category
    if change.quality:
        scores = {"previous_quality_score": new.get("quality", "UNKNOWN"), "new_quality_score": change.quality}
        reports.append({"field": "message_template_quality_update", "value": {**scores, **named}})
        new["quality"] = change.quality
    if change.status:
        category = new.get("category", "MARKETING")
        value = {"event": change.status, **named, "message_template_category": category, "reason": change.reason}
        reports.append({"field": "message_template_status_update", "value": value})
        new["status"], new["rejected_reason"] = change.status, change.reason
    assert isinstance(account.templates, list)
    account.templates = [new if it is definition else it for it in account.templates]
    return reports


def _tell(sandbox: Sandbox, account: Account, reports: list[dict[str, Any]]) -> None:
    now = time.time()
    for report in reports:
        sandbox.tell([(now, Event(WHATSAPP, account.id, {"time": int(now), "change": report}, "template"))])
