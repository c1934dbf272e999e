"""Files that a sender uploads to send them later: `POST /{phone number}/media`. They are forgotten with the process."""

import itertools
from dataclasses import dataclass
from typing import Any

from aiohttp import BodyPartReader, web

from app.simulator.refusal import Refusal
from app.simulator.whatsapp.errors import refuse

KIB, MIB = 1_024, 1_048_576
IMAGES, STICKERS = ("image/jpeg", "image/png"), ("image/webp",)
AUDIO = ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg")
VIDEO = ("video/mp4", "video/3gpp")
LIMITS = {
    **dict.fromkeys(IMAGES, ("image", 5 * MIB)),
    **dict.fromkeys(STICKERS, ("sticker", 500 * KIB)),
    **dict.fromkeys(AUDIO, ("audio", 16 * MIB)),
    **dict.fromkeys(VIDEO, ("video", 16 * MIB)),
}
DOCUMENT = ("document", 100 * MIB)


@dataclass(frozen=True, slots=True)
class Uploaded:
    sender: str
    kind: str


class Files:
    """What was uploaded, by id."""

    def __init__(self) -> None:
        self.by_id: dict[str, Uploaded] = {}
        self._numbers = itertools.count(900_200_000_000_001)

    def add(self, sender: str, kind: str) -> str:
        id = str(next(self._numbers))
        self.by_id[id] = Uploaded(sender, kind)
        return id

    def check(self, sender: str, payload: dict[str, Any], kind: str) -> None:
        """Refuses a file of another sender or kind. Ids from elsewhere (a person's own picture) are not known here."""
        media = payload.get(kind)
        file = self.by_id.get(str(media.get("id"))) if isinstance(media, dict) else None
        if file is not None and (file.sender, file.kind) != (sender, kind):
            raise refuse(131053, f"The media id is of a {file.kind} of another sender or kind, not of a {kind}.")


FILES = web.AppKey("files", Files)


async def read_upload(request: web.Request) -> tuple[str, int] | Refusal:
    """The kind of the file and its size; the bytes are not kept."""
    fields: dict[str, str] = {}
    file: tuple[str, int] | None = None
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                return refuse(100, "Nested parts are not supported.")
            if part.name == "file":
                file = part.headers.get("Content-Type", ""), await _length(part)
            elif part.name is not None:
                fields[part.name] = await part.text()
    except (ValueError, AssertionError):
        return refuse(100, "The body is no multipart form.")
    if fields.get("messaging_product") != "whatsapp":
        return refuse(100, "The parameter messaging_product is required and must be 'whatsapp'.")
    if file is None or not file[1]:
        return refuse(131053, "The parameter file is required.")
    mime_type = file[0] or fields.get("type", "")
    if fields.get("type", mime_type) != mime_type:
        return refuse(100, f"Param file must be a file with type {fields['type']} - got {mime_type!r}.")
    return _checked(mime_type, file[1])


def _checked(mime_type: str, size: int) -> tuple[str, int] | Refusal:
    if mime_type not in LIMITS and mime_type.partition("/")[0] in ("image", "audio", "video"):
        return refuse(100, f"Param file must be a file with one of the supported types - got {mime_type!r}.")
    kind, most = LIMITS.get(mime_type, DOCUMENT)
    if size > most:
        return refuse(131053, f"The file is too large for {kind}: {size} bytes, at most {most}.")
    return kind, size


async def _length(part: BodyPartReader) -> int:
    size = 0
    while piece := await part.read_chunk(65_536):
        size += len(piece)
    return size
