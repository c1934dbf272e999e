"""The JSON Schema of core templates, as it is served and as it stands in the OpenAPI document."""

import json
from importlib.resources import files
from typing import Any

CORE_SCHEMA: dict[str, Any] = json.loads((files("app.domain.template") / "core_schema.json").read_text("utf-8"))
OF_THE_DOCUMENT = ("$schema", "$id", "$defs")


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without `$ref`: within another document its pointers would lead nowhere."""
    whole = _resolved(schema, schema["$defs"])
    return {key: value for key, value in whole.items() if key not in OF_THE_DOCUMENT}


def _resolved(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_resolved(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _resolved(definitions[value["$ref"].rpartition("/")[2]], definitions)
    return {key: _resolved(item, definitions) for key, item in value.items()}
