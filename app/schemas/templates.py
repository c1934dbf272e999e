"""Templates: one content, every channel."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints, WithJsonSchema

from app.domain.status import Channel
from app.models import TemplateChannel
from app.schemas.approvals import APPROVAL_EXAMPLE, Approval
from app.schemas.base import Body, FieldProblem, Reply
from app.schemas.core_schema import CORE_SCHEMA, inlined

TemplateName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120, pattern=r"^[\w][\w .\-]*$")
]
Lang = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$")]
Category = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]


class TemplateCreate(Body):
    name: TemplateName
    channel: TemplateChannel = Field(TemplateChannel.ANY, description="What it was written for; `any` serves them all.")
    lang: Lang = Field("en", description="Language of the default blocks; others go into `core_schema.i18n`.")
    category: Category = "marketing"
    core_schema: Annotated[dict[str, Any], WithJsonSchema(inlined(CORE_SCHEMA))] = Field(
        description="Only `blocks.body` is required. `GET /v1/templates/schema` has this as JSON Schema."
    )
    is_active: bool = True


class TemplateRead(Reply):
    id: UUID
    name: str
    channel: TemplateChannel
    lang: str
    category: str
    core_schema: dict[str, Any] = Field(validation_alias="core_schema_json")
    is_active: bool
    version: int
    approvals: list[Approval] = Field([], description="Of the WhatsApp template of each language that has one.")
    created_at: datetime
    updated_at: datetime


class PreviewContact(Body):
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    email: str = ""
    lang: str = ""
    timezone: str = ""
    country: str = ""
    tags: list[str] = []
    attributes: dict[str, Any] = {}


SAMPLE_CONTACT = PreviewContact(
    first_name="Ana",
    last_name="Silva",
    phone="+351912345678",
    email="ana@example.com",
    timezone="Europe/Lisbon",
    country="PT",
    tags=["sample"],
)


class TemplatePreview(Body):
    channel: Channel | None = Field(None, description="Only this channel; absent shows every one.")
    lang: Lang | None = Field(None, description="Absent takes the contact's.")
    contact_id: UUID | None = Field(None, description="Show it as for this contact.")
    contact: PreviewContact | None = Field(
        None, description="Or as for a contact made up here; without either there is a sample."
    )
    variables: dict[str, Any] = {}


class ForcedBy(Reply):
    character: str
    code: str
    name: str
    count: int


class Segments(Reply):
    encoding: str = Field(description="`gsm7` (160 to an SMS, 153 to each of several) or `ucs2` (70, and 67).")
    units: int = Field(description="Septets of GSM-7, or code units of UCS-2: an emoji takes two or more.")
    segments: int = Field(description="What is sent and paid for.")
    forced_by: list[ForcedBy] = Field([], description="The characters for which the text is sent in UCS-2.")


class RenderedChannel(Reply):
    type: str
    template_name: str = Field(description="The approved WhatsApp template, or empty.")
    lang: str
    content: dict[str, Any]
    segments: Segments | None = Field(None, description="SMS only.")


class ChannelPreview(Reply):
    """Either what would be sent, or what stands in the way."""

    rendered: RenderedChannel | None = None
    warnings: list[str] = Field([], description="It can be sent, and still there is something to know.")
    problems: list[FieldProblem] = []


class TemplatePreviewRead(Reply):
    channels: dict[Channel, ChannelPreview]


CORE_SCHEMA_EXAMPLE = {
    "variables": [{"name": "code", "type": "string", "required": True, "default": None}],
    "blocks": {
        "subject": "Welcome, {{ contact.first_name }}",
        "body": "Hi {{ contact.first_name }}, your code is {{ code }}.",
        "buttons": [{"type": "url", "text": "Shop", "url": "https://shop.example.com"}],
    },
    "i18n": {"pt": {"body": "Olá {{ contact.first_name }}, o seu código é {{ code }}."}},
    "whatsapp": {"name": "welcome", "language": "en_US", "body": ["{{ contact.first_name }}", "{{ code }}"]},
}
CREATE_EXAMPLE = {
    "name": "welcome",
    "channel": "any",
    "lang": "en",
    "category": "marketing",
    "core_schema": CORE_SCHEMA_EXAMPLE,
}
READ_EXAMPLE = {
    "id": "0199a1b0-0000-7000-8000-000000000002",
    **CREATE_EXAMPLE,
    "is_active": True,
    "version": 1,
    "approvals": [APPROVAL_EXAMPLE],
    "created_at": "2026-05-01T12:00:00Z",
    "updated_at": "2026-05-01T12:00:00Z",
}
PREVIEW_EXAMPLE = {"lang": "pt", "contact": {"first_name": "Ana"}, "variables": {"code": "ANA10"}}
PREVIEW_READ_EXAMPLE = {
    "channels": {
        "sms": {
            "rendered": {
                "type": "text",
                "template_name": "",
                "lang": "pt",
                "content": {"body": "Olá Ana, o seu código é ANA10. https://shop.example.com"},
                "segments": {
                    "encoding": "ucs2",
                    "units": 55,
                    "segments": 1,
                    "forced_by": [
                        {"character": "á", "code": "U+00E1", "name": "latin small letter a with acute", "count": 1},
                        {"character": "ó", "code": "U+00F3", "name": "latin small letter o with acute", "count": 1},
                    ],
                },
            },
            "warnings": [
                "Not in GSM-7: á ó. A part of the SMS therefore holds 70 characters rather than 160; "
                "sms.transliterate writes them in its letters."
            ],
            "problems": [],
        }
    }
}
