"""Is the process alive, and can it work?"""

import asyncio

from fastapi import APIRouter
from loguru import logger
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response
from temporalio.service import RPCError

from app.errors import FieldError
from app.routes.deps import Resources, ResourcesDep
from app.routes.problems import documented, problem

router = APIRouter(tags=["Health"])
CHECK_SECONDS = 3.0


class Health(BaseModel):
    status: str


class Readiness(BaseModel):
    status: str
    database: str
    engine: str


def _example(**values: str) -> dict[int | str, dict[str, object]]:
    return {200: {"content": {"application/json": {"example": values}}}}


@router.get("/health", responses={**_example(status="ok")})
async def health() -> Health:
    """The process is alive. Says nothing about what it depends on: see `/ready`."""
    return Health(status="ok")


@router.get(
    "/ready",
    response_model=Readiness,
    responses={**_example(status="ready", database="ok", engine="ok"), **documented(503)},
)
async def ready(relay: ResourcesDep) -> Readiness | Response:
    """The database and the workflow engine answer. 503 names the one that doesn't."""
    database, engine = await asyncio.gather(_database(relay), _engine(relay))
    errors = [
        FieldError(pointer=name, detail=trouble)
        for name, trouble in (("database", database), ("engine", engine))
        if trouble
    ]
    if errors:
        away = " and ".join(error.pointer for error in errors)
        return problem(503, "not_ready", f"Not ready: no answer from {away}.", errors=errors)
    return Readiness(status="ready", database="ok", engine="ok")


async def _database(relay: Resources) -> str:
    """What is wrong with it, or empty. The reason is logged and not told: it may name hosts and users."""
    try:
        async with asyncio.timeout(CHECK_SECONDS), relay.sessions.system() as session:
            await session.execute(text("SELECT 1 FROM tenants LIMIT 1"))
    except TimeoutError:
        return f"No answer within {CHECK_SECONDS:g} s."
    except SQLAlchemyError as error:
        logger.warning("not ready: {}", error)
        return "It can't be reached, or its schema is not up to date (relay migrate)."
    return ""


async def _engine(relay: Resources) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            healthy = await relay.temporal.service_client.check_health()
    except TimeoutError:
        return f"No answer within {CHECK_SECONDS:g} s."
    except (RPCError, RuntimeError) as error:
        logger.warning("not ready: {}", error)
        return "It can't be reached."
    return "" if healthy else "It says that it is not serving."
