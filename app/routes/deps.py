"""What routes are given: the process's clients, the caller, and the engine when it is there."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import httpx
from fastapi import Depends, Query, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from loguru import logger
from starlette.requests import HTTPConnection, Request
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from app.db import Sessions
from app.errors import FieldError, PermissionDenied, Unauthenticated
from app.ids import new_id, repeatable_id
from app.models import Role, Tenant
from app.schemas.base import LARGEST_PAGE, LARGEST_SIZE
from app.secrets import Vault
from app.services.api_keys import MARK, ApiKeys, Principal
from app.services.approvals import Approvals
from app.services.senders import Senders
from app.settings import Settings
from app.temporal import Workflows
from app.tokens import UnsubscribeTokens

# What a request waits for the engine. Afterwards a worker starts or notices what the database already holds.
ENGINE_SECONDS = 2.0
AWAY = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
IDEMPOTENCY_HEADER = "idempotency-key"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the lifespan opens, kept in `app.state.resources`."""

    settings: Settings
    sessions: Sessions
    temporal: Client
    workflows: Workflows
    http: httpx.AsyncClient
    vault: Vault
    tokens: UnsubscribeTokens
    senders: Senders
    approvals: Approvals
    api_keys: ApiKeys


def resources(connection: HTTPConnection) -> Resources:
    found: Resources = connection.app.state.resources
    return found


def _resources(request: Request) -> Resources:
    return resources(request)


ResourcesDep = Annotated[Resources, Depends(_resources)]


def _settings(request: Request) -> Settings:
    return resources(request).settings


def _sessions(request: Request) -> Sessions:
    return resources(request).sessions


def _workflows(request: Request) -> Workflows:
    return resources(request).workflows


def _vault(request: Request) -> Vault:
    return resources(request).vault


SettingsDep = Annotated[Settings, Depends(_settings)]
SessionsDep = Annotated[Sessions, Depends(_sessions)]
TemporalDep = Annotated[Workflows, Depends(_workflows)]
VaultDep = Annotated[Vault, Depends(_vault)]

bearer = HTTPBearer(auto_error=False, scheme_name="API key", description="`relay tenant create` prints one.")


async def authenticate(request: Request) -> Principal:
    """The caller of this request, found once. Raises Unauthenticated or PermissionDenied."""
    known: Principal | None = getattr(request.state, "principal", None)
    if known is not None:
        return known
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise Unauthenticated("Send your API key as `Authorization: Bearer rk_…`.")
    if not key.startswith(MARK):
        raise Unauthenticated("This is no API key: one begins with `rk_`.")
    principal = await resources(request).api_keys.principal(key)
    await _check_tenant(request, principal.tenant)
    if principal.role is Role.VIEWER and request.method not in READING:
        raise PermissionDenied("This API key has the role viewer, which may only read.")
    request.state.principal = principal
    return principal


async def _check_tenant(request: Request, tenant: Tenant) -> None:
    """Headers may name the tenant; the credential decides. One that exists is forbidden, any other is unknown."""
    for header in ("X-Tenant-Id", "X-Client-Id"):
        named = request.headers.get(header, "").strip().lower()
        if named in {"", str(tenant.id), tenant.slug}:
            continue
        if await resources(request).api_keys.knows_tenant(named):
            detail = f"{header} names a tenant that this API key does not belong to: leave it out, or send its own."
            raise PermissionDenied(detail, errors=[FieldError(pointer=header, detail=detail)])
        detail = f"{header} names no tenant: leave it out, or send the id or slug that the API key belongs to."
        raise Unauthenticated(detail, errors=[FieldError(pointer=header, detail=detail)])


async def _principal(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
) -> Principal:
    return await authenticate(request)


PrincipalDep = Annotated[Principal, Depends(_principal)]


async def _tenant(principal: PrincipalDep) -> Tenant:
    return principal.tenant


async def _owner(principal: PrincipalDep) -> Principal:
    if principal.role is not Role.OWNER:
        raise PermissionDenied(f"This needs an API key with the role owner; this one is {principal.role}.")
    return principal


TenantDep = Annotated[Tenant, Depends(_tenant)]
OwnerDep = Annotated[Principal, Depends(_owner)]


def _created_id(request: Request, tenant: TenantDep) -> UUID:
    """The id of what this request creates. With an `Idempotency-Key` a repeat has the same, so that even a crash
    between doing and remembering creates nothing twice."""
    key = request.headers.get(IDEMPOTENCY_HEADER)
    return repeatable_id(tenant.id, f"{request.url.path}/{key}") if key else new_id()


CreatedIdDep = Annotated[UUID, Depends(_created_id)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Paging:
    page: int
    size: int

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.size


def _paging(
    page: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="The first page is 1.")] = 1,
    size: Annotated[int, Query(ge=1, le=LARGEST_SIZE, description="How many items a page has.")] = 50,
) -> Paging:
    return Paging(page=page, size=size)


PagingDep = Annotated[Paging, Depends(_paging)]


async def reached_engine(action: Awaitable[None]) -> bool:
    """Whether the engine took it. False when it is away: the database holds what was wanted, and a worker goes on from
    there, so the request need not fail."""
    try:
        await asyncio.wait_for(action, ENGINE_SECONDS)
    except TimeoutError:
        logger.warning("the workflow engine did not answer within {} s; a worker will catch up", ENGINE_SECONDS)
        return False
    except RPCError as error:
        if error.status not in AWAY:
            raise
        logger.warning("the workflow engine is away ({}); a worker will catch up", error.message)
        return False
    except RuntimeError as error:  # a lazy client that could not connect
        logger.warning("the workflow engine is away ({}); a worker will catch up", error)
        return False
    return True
