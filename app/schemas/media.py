"""Files that a provider keeps."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from app.schemas.base import Reply


class MediaRead(Reply):
    media_id: str = Field(description="For `content.id` of messages; with `kind` as `content.kind`.")
    kind: str = Field(description="image, video, document, audio or sticker.")
    mime_type: str
    filename: str
    size: int = Field(description="Bytes.")
    sha256: str
    channel_setting_id: UUID = Field(description="Only messages of this sender can use it.")
    expires_at: datetime = Field(description="The provider forgets it then.")


READ_EXAMPLE = {
    "media_id": "900100",
    "kind": "image",
    "mime_type": "image/jpeg",
    "filename": "shop.jpg",
    "size": 48213,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "channel_setting_id": "0199a1b0-0000-7000-8000-000000000001",
    "expires_at": "2026-05-31T12:00:00Z",
}
