"""The HTTP API: opens the clients, adds routers and error handlers. `relay api` runs it as `api:create_app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from app import embedded, temporal
from app.channels.http import provider_client
from app.db import Sessions, create_engine
from app.routes import (
    analytics,
    campaigns,
    channel_settings,
    contacts,
    conversions,
    docs,
    exports,
    health,
    imports,
    links,
    media,
    messages,
    problems,
    reference,
    segments,
    suppressions,
    templates,
    tenant,
    unsubscribe,
    webhooks,
)
from app.routes.deps import Resources
from app.secrets import Vault
from app.services.api_keys import ApiKeys
from app.services.approvals import Approvals
from app.services.senders import Senders
from app.services.webhooks import WebhookIntake
from app.settings import Settings, load_settings
from app.temporal import Workflows
from app.tokens import UnsubscribeTokens

ROUTES = (
    tenant,
    channel_settings,
    templates,
    imports,  # before contacts, whose /{contact_id} would take /imports
    exports,  # likewise
    contacts,
    suppressions,
    segments,
    campaigns,
    messages,
    media,
    conversions,
    analytics,
    webhooks,
    unsubscribe,
    links,
    health,
    docs,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Without `settings` they are read from the environment and the data directory."""
    chosen = settings or embedded.resolve(load_settings())

    app = FastAPI(
        title="Relay",
        version="1",
        description=reference.DESCRIPTION,
        openapi_tags=reference.TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda app: _open(app, chosen),
    )
    problems.install(app)
    for module in ROUTES:
        app.include_router(module.router)
    reference.describe(app)
    return app


@asynccontextmanager
async def _open(app: FastAPI, settings: Settings) -> AsyncIterator[dict[str, Any]]:
    """Open what every request shares. Neither the database nor the engine needs to be there yet. What it yields is for
    the protocol, which sees requests before the application does."""
    if settings.database_url is None:
        raise ValueError("RELAY_DATABASE_URL is not set")
    engine = create_engine(settings.database_url.get_secret_value(), settings.database_pool_size)
    http = provider_client(concurrency=settings.send_concurrency, timeout_seconds=settings.provider_timeout_seconds)
    try:
        client = await temporal.connect(settings, lazy=True)
        sessions, vault = Sessions(engine), Vault(settings.keys)
        senders = Senders(settings, http, vault)
        app.state.resources = Resources(
            settings=settings,
            sessions=sessions,
            temporal=client,
            workflows=Workflows(client),
            http=http,
            vault=vault,
            tokens=UnsubscribeTokens(settings.keys),
            senders=senders,
            approvals=Approvals(sessions, senders),
            api_keys=ApiKeys(sessions),
        )
        async with WebhookIntake(sessions, senders) as intake:
            app.state.webhooks = intake
            yield {"webhooks": intake}
    finally:
        await http.aclose()
        await engine.dispose()
