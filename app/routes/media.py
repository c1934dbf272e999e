"""Files for messages."""

import asyncio
import mimetypes
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from app.domain.media import LARGEST
from app.errors import InvalidInput, Malformed, TooLarge
from app.routes import idempotency
from app.routes.deps import IDEMPOTENCY_HEADER, ResourcesDep, TenantDep
from app.routes.endpoint import check_query
from app.routes.problems import CREATING, documented
from app.schemas.examples import answer
from app.schemas.media import READ_EXAMPLE, MediaRead
from app.services import media

# not Endpoint, which reads bodies into memory
router = APIRouter(prefix="/v1", tags=["Messages"])

AROUND = 16_384  # bytes of the form around the file
UNTYPED = frozenset({"", "application/octet-stream"})
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                }
            }
        },
    }
}


@router.post(
    "/media",
    status_code=201,
    response_model=MediaRead,
    responses={**CREATING, **documented(404, 502), **answer(201, READ_EXAMPLE)},
    openapi_extra=BODY,
)
async def upload_media(
    request: Request,
    tenant: TenantDep,
    relay: ResourcesDep,
    channel_setting_id: Annotated[
        UUID | None, Query(description="The WhatsApp sender that will send it; absent is the default one.")
    ] = None,
) -> Response:
    """Hand a file to WhatsApp, to send it by its id: JPEG and PNG up to 5 MB, AAC, AMR, MP3, M4A and Ogg up to 16 MB,
    MP4 and 3GP up to 16 MB, stickers (WebP) up to 100 KB or, animated, 500 KB, and documents up to 100 MB."""
    check_query(request)
    sender = await media.sender_for(relay.sessions, relay.senders, tenant.id, channel_setting_id)
    async with received_file(request) as (upload, mime_type):
        checked = await asyncio.to_thread(media.look_through, upload.file, mime_type)

        async def hand_over() -> Response:
            made = await media.upload(sender, checked, filename=upload.filename or "file", mime_type=mime_type)
            return JSONResponse(made.model_dump(mode="json"), status_code=201)

        key = request.headers.get(IDEMPOTENCY_HEADER)
        if key is None:
            return await hand_over()
        wanted = idempotency.Wanted.of(tenant.id, key, request, checked.digest.encode())
        return await idempotency.once(relay.sessions, wanted, hand_over)


@asynccontextmanager
async def received_file(request: Request) -> AsyncIterator[tuple[UploadFile, str]]:
    """The part `file` on the disk, and its type; gone when the block ends.

    Raises TooLarge, Malformed, InvalidInput, and HTTPException 415 for another content type.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise HTTPException(415, "Send the file as multipart/form-data, in a part named `file`.")
    parser = MultiPartParser(request.headers, _limited(request), max_files=1, max_fields=0)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Malformed(f"The multipart body can't be read: {error.message}") from None
    try:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise InvalidInput.at("/file", "The form has no part `file` with a file name.")
        given = (upload.content_type or "").partition(";")[0].strip().lower()
        guessed = mimetypes.guess_type(upload.filename or "")[0] or given
        yield upload, (guessed if given in UNTYPED else given) or "application/octet-stream"
    finally:
        await form.close()


async def _limited(request: Request) -> AsyncGenerator[bytes, None]:
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > LARGEST + AROUND:
                raise TooLarge(f"No file may have more than {LARGEST:,} bytes.")
            yield piece
    except ClientDisconnect:
        raise Malformed("The connection was closed before the body was complete.") from None
