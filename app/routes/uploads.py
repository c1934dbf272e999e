"""Files that come in as a request body: onto the disk piece by piece, never whole in memory."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from app.domain.contact_file.types import PIECE, Format
from app.errors import InvalidInput, Malformed, TooLarge

CSV_TYPES = frozenset(
    {"text/csv", "application/csv", "text/plain", "text/tab-separated-values", "application/vnd.ms-excel"}
)
FIELDS = (
    "default_region", "defaultRegion", "dedupe", "default_channel", "defaultChannel", "default_reason", "defaultReason",
)  # fmt: skip
LARGEST_FIELD = 1_000  # bytes


@dataclass(frozen=True, kw_only=True)
class Received:
    """`format` None: to be found out. `fields` are the other parts of a multipart form."""

    file: IO[bytes]
    format: Format | None
    fields: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def received(request: Request, limit: int, setting: str) -> AsyncIterator[Received]:
    """The file of this request, gone when the block ends.

    Raises TooLarge naming `setting`, Malformed, InvalidInput, and HTTPException 415 for another content type.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = _limited(request, limit, setting)
    if media_type == "multipart/form-data":
        upload, fields = await _form(request, body)
        try:
            yield Received(file=upload.file, format=None, fields=fields)
        finally:
            await upload.close()
        return
    is_json = media_type == "application/json" or media_type.endswith("+json")
    if not is_json and media_type not in CSV_TYPES:
        given = repr(media_type[:60]) if media_type else "a body without a type"
        raise HTTPException(415, f"Send text/csv, application/json or multipart/form-data, not {given}.")
    with tempfile.TemporaryFile() as file:
        await _spool(body, file)
        yield Received(file=file, format=Format.JSON if is_json else Format.CSV)


async def _limited(request: Request, limit: int, setting: str) -> AsyncGenerator[bytes, None]:
    too_large = TooLarge(f"The body is larger than {limit} bytes ({setting}): send the file in parts.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise too_large
            yield piece
    except ClientDisconnect:
        raise Malformed("The connection was closed before the body was complete.") from None


async def _spool(body: AsyncIterator[bytes], file: IO[bytes]) -> None:
    buffer = bytearray()
    async for piece in body:
        buffer += piece
        if len(buffer) >= PIECE:
            await asyncio.to_thread(file.write, bytes(buffer))
            buffer.clear()
    await asyncio.to_thread(file.write, bytes(buffer))


async def _form(request: Request, body: AsyncGenerator[bytes, None]) -> tuple[UploadFile, dict[str, str]]:
    """The part `file`, and the options beside it."""
    parser = MultiPartParser(request.headers, body, max_files=1, max_fields=len(FIELDS), max_part_size=LARGEST_FIELD)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Malformed(f"The multipart body can't be read: {error.message}") from None
    upload = form.get("file")
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    unknown = [name for name in form if name not in (*FIELDS, "file")]
    if not isinstance(upload, UploadFile) or unknown:
        await form.close()
        if unknown:
            raise InvalidInput.at(f"/{unknown[0][:60]}", f"Unknown part; allowed are file, {', '.join(FIELDS)}.")
        raise InvalidInput.at("/file", "The form has no part `file` with a file name.")
    return upload, fields
