"""`relay tenant …`: make a tenant, and make and revoke its API keys."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar
from uuid import UUID

import orjson
import typer
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli.errors import CommandError
from app.db import Sessions, create_engine
from app.embedded import database
from app.errors import AppError, NotFound
from app.models import Role, Tenant
from app.repositories import tenants as tenant_rows
from app.schemas.tenant import TenantRead, TenantUpdate
from app.services import api_keys, tenants
from app.settings import load_settings

T = TypeVar("T")
Work = Callable[[AsyncSession], Awaitable[T]]

tenant = typer.Typer(name="tenant", help="Tenants and their API keys.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]


@tenant.command()
def create(
    name: Annotated[str, typer.Option(help="What the business is called.")],
    timezone: Annotated[str, typer.Option(help="IANA name; used where a contact's own is unknown.")] = "UTC",
    default_region: Annotated[
        str, typer.Option(help="Two letters such as PT: the country of numbers without one.")
    ] = "",
    default_lang: Annotated[str, typer.Option(help="Language of contacts without one.")] = "en",
    json: AsJson = False,
) -> None:
    """Make a tenant and its first API key (role owner). The key is shown only this once."""

    async def work(session: AsyncSession) -> dict[str, str]:
        made = await tenants.create(
            session, name=name, timezone=timezone, default_region=default_region, default_lang=default_lang
        )
        _, key = await api_keys.create(session, made.id, name="first", role=Role.OWNER)
        return {"tenant_id": str(made.id), "slug": made.slug, "api_key": key}

    _show(in_transaction(work), json)


@tenant.command()
def create_key(
    tenant: Annotated[str, typer.Option(help="Slug or id of the tenant.")],
    name: Annotated[str, typer.Option(help="What the key is for.")],
    role: Annotated[Role, typer.Option(help="owner, manager or viewer.")] = Role.MANAGER,
    json: AsJson = False,
) -> None:
    """Make another API key. It is shown only this once."""

    async def work(session: AsyncSession) -> dict[str, str]:
        owner = await find_tenant(session, tenant)
        row, key = await api_keys.create(session, owner.id, name=name, role=role)
        return {"tenant_id": str(owner.id), "prefix": row.prefix, "role": role.value, "api_key": key}

    _show(in_transaction(work), json)


@tenant.command()
def limit(
    tenant: Annotated[str, typer.Option(help="Slug or id of the tenant.")],
    messages_per_day: Annotated[
        int | None, typer.Option(min=0, help="At most so many messages a day, in the tenant's time zone.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Set the tenant's quota of a day, or lift it by leaving it out; every worker keeps it within five seconds."""

    async def work(sessions: Sessions) -> dict[str, str]:
        async with sessions.system() as session:
            owner = await find_tenant(session, tenant)
        async with sessions.begin(owner.id) as session:
            await tenants.limit(session, owner.id, per_day=messages_per_day)
        shown = "none" if messages_per_day is None else str(messages_per_day)
        return {"tenant_id": str(owner.id), "messages_per_day": shown}

    _show(on_database(work), json)


@tenant.command()
def rules(
    tenant: Annotated[str, typer.Option(help="Slug or id of the tenant.")],
    patch: Annotated[
        str, typer.Option(help="What to change, as JSON: the body of PATCH /v1/tenant. Left out: only show.")
    ] = "{}",
) -> None:
    """Show or change quiet hours, frequency caps, soft bounces and answers to keywords, as one JSON object."""
    try:
        wanted = TenantUpdate.model_validate_json(patch).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        problem = error.errors()[0]
        place = "/".join(map(str, problem["loc"]))
        raise CommandError(f"--patch: {place + ': ' if place else ''}{problem['msg']}") from error

    async def work(sessions: Sessions) -> str:
        async with sessions.system() as session:
            owner = await find_tenant(session, tenant)
        async with sessions.begin(owner.id) as session:
            return TenantRead.of(await tenants.update(session, owner.id, wanted)).model_dump_json(indent=2)

    typer.echo(on_database(work))


@tenant.command()
def revoke_key(
    tenant: Annotated[str, typer.Option(help="Slug or id of the tenant.")],
    prefix: Annotated[str, typer.Option(help="The eight characters after rk_.")],
) -> None:
    """End an API key at once; every API process refuses it within five seconds."""

    async def work(session: AsyncSession) -> bool:
        owner = await find_tenant(session, tenant)
        return await api_keys.revoke(session, owner.id, prefix)

    if not in_transaction(work):
        raise CommandError(f"no live API key of this tenant begins with rk_{prefix}_")
    typer.echo(f"Revoked rk_{prefix}_…")


async def find_tenant(session: AsyncSession, reference: str) -> Tenant:
    try:
        found = await tenant_rows.get(session, UUID(reference))
    except ValueError:
        found = await tenant_rows.by_slug(session, reference)
    if found is None:
        raise NotFound(f"There is no tenant {reference!r}: give its slug or its id.")
    return found


def in_transaction(work: Work[T]) -> T:
    """Do `work` in one system transaction of the database of these settings."""

    async def inside(sessions: Sessions) -> T:
        async with sessions.system() as session:
            return await work(session)

    return on_database(inside)


def on_database(work: Callable[[Sessions], Awaitable[T]]) -> T:
    async def inside(url: str) -> T:
        engine = create_engine(url, pool_size=1)
        try:
            return await work(Sessions(engine))
        finally:
            await engine.dispose()

    with database(load_settings()) as url:
        try:
            return asyncio.run(inside(url))
        except AppError as error:
            raise CommandError(error.detail) from error
        except DBAPIError as error:
            words = str(error.orig).strip().splitlines()[0]
            raise CommandError(f"the database says: {words}; run `relay migrate` and `relay doctor`") from error


def _show(values: dict[str, str], json: bool) -> None:
    if json:
        typer.echo(orjson.dumps(values).decode())
    else:
        for name, value in values.items():
            typer.echo(f"{name:10} {value}")
