"""The driver's own connection below a session, for what SQLAlchemy has no words for: COPY and binary results."""

from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncSession


async def driver_connection(session: AsyncSession) -> psycopg.AsyncConnection[Any]:
    """It is in the session's transaction; committing stays with the session."""
    pooled = await (await session.connection()).get_raw_connection()
    connection = pooled.driver_connection
    assert isinstance(connection, psycopg.AsyncConnection), "the engine's driver is psycopg"
    return connection
