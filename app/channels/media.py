"""Files that a provider keeps for messages to come, and the part of the port that hands them over."""

from dataclasses import dataclass
from typing import IO, Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaFile:
    """`file` is read from its beginning, piece by piece."""

    file: IO[bytes]
    filename: str
    mime_type: str


@runtime_checkable
class UploadsMedia(Protocol):
    """An adapter whose provider keeps files, and knows them by an id."""

    async def upload_media(self, media: MediaFile) -> str:
        """The provider's id, for `content.id` of a message of the same sender. Raises a SendError; nothing that it
        leaves open matters, because a file that nobody sends is forgotten."""
        ...
