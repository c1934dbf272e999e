"""The connection pool and the two ways into it: as one tenant, or as the system."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

APP_ROLE = "relay_app"  # bound by row-level security; may not bypass it
SYSTEM_ROLE = "relay_system"  # sees every tenant, but only the tables that finding the tenant or the backlog needs

_AS_TENANT = text("SELECT set_config('relay.tenant_id', :tenant_id, true)")
_AS_SYSTEM = text(f"SET LOCAL ROLE {SYSTEM_ROLE}")
_CLOCK = text("SELECT clock_timestamp()")


def sqlalchemy_url(url: str) -> str:
    """Accept `postgresql://` and `postgres://` as people write them, and name the psycopg driver."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise ValueError("must start with postgresql://")
    return f"postgresql+psycopg://{rest}"


def create_engine(url: str, pool_size: int, *, by_index: bool = False) -> AsyncEngine:
    """`by_index` is for those who touch few rows at a time in tables that grow meanwhile: a plan made for the small
    table of a minute ago would read all of the large one."""
    plans = " -c enable_seqscan=off" if by_index else ""
    return create_async_engine(
        sqlalchemy_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=30,
        connect_args={"options": f"-c role={APP_ROLE} -c timezone=UTC{plans}", "connect_timeout": 10},
    )


async def connect_system(engine: AsyncEngine) -> AsyncConnection:
    """A connection of its own, as the system, on which each statement is a transaction: for the one who does nothing
    but write, and for whom beginning, taking the role and committing would be most of the work."""
    return await AsyncConnection.connect(
        engine.url.set(drivername="postgresql").render_as_string(hide_password=False),
        autocommit=True,
        options=f"-c role={SYSTEM_ROLE} -c timezone=UTC",
        connect_timeout=10,
    )


class Sessions:
    """Opens transactions. Each commits when its block ends and rolls back when it raises."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._maker = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def begin(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        """A transaction that sees and writes the rows of this tenant only."""
        async with self._maker.begin() as session:
            await session.execute(_AS_TENANT, {"tenant_id": str(tenant_id)})
            yield session

    @asynccontextmanager
    async def system(self) -> AsyncIterator[AsyncSession]:
        """A transaction across tenants, to find a credential's tenant or the work that waits."""
        async with self._maker.begin() as session:
            await session.execute(_AS_SYSTEM)
            yield session


async def clock(session: AsyncSession) -> datetime:
    """The time as everybody on this database has it: the clock of one worker's machine may be off by hours."""
    now: datetime = (await session.execute(_CLOCK)).scalar_one()
    return now
