"""Message templates of an account: which exist, and how many parameters each of their components takes."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from app.simulator.demo_templates import demo_templates
from app.simulator.whatsapp.errors import refuse

PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
MEDIA_HEADERS = {"IMAGE": "image", "VIDEO": "video", "DOCUMENT": "document", "LOCATION": "location"}
PARAMETER_TYPES = frozenset({"text", "currency", "date_time", "image", "video", "document", "location"})
USUAL_FIELDS = ("name", "components", "language", "status", "category", "id")
KNOWN_FIELDS = frozenset({*USUAL_FIELDS, "rejected_reason", "quality_score", "previous_category", "parameter_format"})
STATES = {"PAUSED": 132015, "DISABLED": 132016}  # every other state but APPROVED counts as not there


@dataclass(frozen=True, slots=True)
class Template:
    name: str
    language: str
    status: str
    category: str
    header: tuple[str, int]  # parameter type, number of parameters
    body: int
    buttons: dict[int, int]  # index of a button -> how many parameters it must get


def template_id(definition: dict[str, Any]) -> str:
    """The same for as long as the account has it."""
    digest = hashlib.blake2b(f"{definition['name']}/{definition['language']}".encode(), digest_size=6).digest()
    return str(700_000_000_000_000 + int.from_bytes(digest) % 10**14)


def listed_templates(definitions: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An account that accepts every template shows the demo's, without components: any parameters will do."""
    if isinstance(definitions, list):
        return definitions
    return [{**template, "components": None} for template in demo_templates()]


def as_listed(definition: dict[str, Any], fields: str) -> dict[str, Any]:
    """A template as the Graph API lists it: the usual fields, or those asked for."""
    whole = {
        "category": "MARKETING",
        "status": "APPROVED",
        "rejected_reason": "NONE",
        "components": [],
        **definition,
        "id": template_id(definition),
        "quality_score": {"score": definition.get("quality", "UNKNOWN")},
    }
    wanted = [name.strip() for name in fields.split(",") if name.strip()] or USUAL_FIELDS
    unknown = [name for name in wanted if name not in KNOWN_FIELDS]
    if unknown:
        raise refuse(100, f"Tried accessing nonexisting field ({unknown[0]}) on node type (WhatsAppMessageTemplate)")
    return {name: whole[name] for name in wanted if whole.get(name) is not None} | {"id": whole["id"]}


def read_templates(definitions: Any) -> dict[tuple[str, str], Template]:
    """The templates by name and language. Raises ValueError naming what is wrong."""
    if not isinstance(definitions, list):
        raise ValueError('templates must be "*" or a list of templates')
    found = [_read(index, definition) for index, definition in enumerate(definitions)]
    return {(template.name, template.language): template for template in found}


def _read(index: int, definition: Any) -> Template:
    if not isinstance(definition, dict) or not definition.get("name") or not definition.get("language"):
        raise ValueError(f"templates.{index} needs a name and a language")
    header, body, buttons = ("text", 0), 0, {}
    for component in definition.get("components", []):
        kind, text = str(component.get("type", "")).upper(), str(component.get("text", ""))
        if kind == "HEADER":
            media = MEDIA_HEADERS.get(str(component.get("format", "TEXT")).upper())
            header = (media, 1) if media else ("text", _placeholders(text))
        elif kind == "BODY":
            body = _placeholders(text)
        elif kind == "BUTTONS":
            for position, button in enumerate(component.get("buttons", [])):
                copies = str(button.get("type", "")).upper() == "COPY_CODE"
                needed = 1 if copies else _placeholders(str(button.get("url", "")))
                if needed:
                    buttons[position] = needed
    return Template(
        name=str(definition["name"]),
        language=str(definition["language"]),
        status=str(definition.get("status", "APPROVED")).upper(),
        category=str(definition.get("category", "MARKETING")).lower(),
        header=header,
        body=body,
        buttons=buttons,
    )


def _placeholders(text: str) -> int:
    return len(set(PLACEHOLDER.findall(text)))


def check_template(approved: dict[tuple[str, str], Template], everything: bool, wanted: Any) -> str:
    """The category of the template that a message asks for; refuses as the provider does. `everything` accepts any."""
    if not isinstance(wanted, dict):
        raise refuse(131008, "Parameter 'template' is required for type template.")
    name, language = wanted.get("name"), wanted.get("language")
    if not isinstance(name, str) or not name:
        raise refuse(131008, "Parameter 'template.name' is required.")
    code = language.get("code") if isinstance(language, dict) else None
    if not isinstance(code, str) or not code:
        raise refuse(131008, "Parameter 'template.language.code' is required.")
    header, body, buttons = _sent_parameters(wanted.get("components", []))
    if everything:
        return "marketing"
    template = approved.get((name, code))
    if template is None or template.status not in ("APPROVED", *STATES):
        raise refuse(132001, f"template name ({name}) does not exist in {code}", status=404)
    if template.status in STATES:
        raise refuse(STATES[template.status], f"template ({name}) is {template.status.lower()}")
    _same_count("header", len(header), template.header[1])
    _same_count("body", len(body), template.body)
    if template.header[1] and header[0]["type"] != template.header[0]:
        raise refuse(
            132012,
            f"header: Format mismatch, expected {template.header[0].upper()}, received {header[0]['type'].upper()}",
        )
    for index in sorted(template.buttons.keys() | buttons.keys()):
        if template.buttons.get(index) or buttons.get(index, ("", 0))[0] == "url":
            _same_count(f"button at index {index}", buttons.get(index, ("", 0))[1], template.buttons.get(index, 0))
    return template.category


def _same_count(where: str, sent: int, expected: int) -> None:
    if sent != expected:
        raise refuse(
            132000,
            f"{where}: number of localizable_params ({sent}) does not match the expected number of params ({expected})",
        )


def _sent_parameters(components: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[int, tuple[str, int]]]:
    header: list[dict[str, Any]] = []
    body: list[dict[str, Any]] = []
    buttons: dict[int, tuple[str, int]] = {}
    if not isinstance(components, list):
        raise refuse(100, "Param template['components'] must be an array.")
    for component in components:
        if not isinstance(component, dict):
            raise refuse(100, "Param template['components'] must be an array of objects.")
        kind = str(component.get("type", "")).lower()
        parameters = component.get("parameters", [])
        if not isinstance(parameters, list) or not all(isinstance(parameter, dict) for parameter in parameters):
            raise refuse(100, f"Param template['components'] {kind}: parameters must be an array of objects.")
        if kind == "header":
            header = [_well_formed(kind, parameter) for parameter in parameters]
        elif kind == "body":
            body = [_well_formed(kind, parameter) for parameter in parameters]
        elif kind == "button":
            index = str(component.get("index", ""))
            if not index.isdecimal() or not component.get("sub_type"):
                raise refuse(131008, "Parameters 'index' and 'sub_type' are required for a button component.")
            buttons[int(index)] = (str(component["sub_type"]).lower(), len(parameters))
        else:
            raise refuse(
                100, f"Param template['components'] type must be one of {{HEADER, BODY, BUTTON}} - got {kind!r}."
            )
    return header, body, buttons


def _well_formed(where: str, parameter: dict[str, Any]) -> dict[str, Any]:
    kind = parameter.get("type")
    if not isinstance(kind, str) or kind not in PARAMETER_TYPES:
        raise refuse(132012, f"{where}: parameter type {kind!r} is not supported")
    value = parameter.get(kind)
    if kind == "text" and (not isinstance(value, str) or not value):
        raise refuse(131008, "Parameter of type text is missing text value")
    if kind != "text" and not isinstance(value, dict):
        raise refuse(131008, f"Parameter of type {kind} is missing its object")
    return parameter
