"""Files for messages: handed to the provider, which keeps them for some weeks."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO
from uuid import UUID

from app.channels.media import MediaFile, UploadsMedia
from app.db import Sessions
from app.domain import media
from app.domain.status import Channel
from app.errors import InvalidInput, NotFound
from app.schemas.media import MediaRead
from app.services.channel_settings import SETTINGS_PATH
from app.services.senders import Sender, Senders

KEPT = timedelta(days=30)  # by Meta
PIECE = 262_144


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that may be handed over."""

    file: IO[bytes]
    kind: str
    size: int
    digest: str


def look_through(file: IO[bytes], mime_type: str) -> Checked:
    """Reads the whole file. Raises InvalidInput or TooLarge."""
    kind = media.kind_of(mime_type)
    file.seek(0)
    head = file.read(media.HEAD)
    size, digest = len(head), hashlib.sha256(head)
    while piece := file.read(PIECE):
        size += len(piece)
        digest.update(piece)
    media.check(kind, size, head)
    file.seek(0)
    return Checked(file, kind, size, digest.hexdigest())


async def sender_for(db: Sessions, senders: Senders, tenant_id: UUID, settings_id: UUID | None) -> Sender:
    """The sender whose provider is to keep a file: the one in use, or this setting. Raises InvalidInput, NotFound."""
    async with db.begin(tenant_id) as session:
        if settings_id is not None:
            sender = await senders.by_id(session, settings_id)
        else:
            sender = (await senders.defaults(session, tenant_id)).get(Channel.WHATSAPP)
    if sender is None and settings_id is not None:
        raise NotFound(f"There is no channel setting {settings_id}.")
    if sender is None:
        raise InvalidInput(
            f"There are no credentials for whatsapp: add them with POST {SETTINGS_PATH}, then try again."
        )
    if not isinstance(sender.adapter, UploadsMedia):
        raise InvalidInput(f"{sender.provider} keeps no files: send a link instead.")
    return sender


async def upload(sender: Sender, checked: Checked, *, filename: str, mime_type: str) -> MediaRead:
    """Raises a SendError."""
    assert isinstance(sender.adapter, UploadsMedia)
    id = await sender.adapter.upload_media(MediaFile(file=checked.file, filename=filename, mime_type=mime_type))
    return MediaRead(
        media_id=id,
        kind=checked.kind,
        mime_type=mime_type,
        filename=filename,
        size=checked.size,
        sha256=checked.digest,
        channel_setting_id=sender.settings_id,
        expires_at=datetime.now(UTC) + KEPT,
    )
