"""The HTTP API: opens the clients, adds routers and error handlers. `relay api` runs it as `api:create_app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app import embedded, temporal
from app.channels.http import provider_client
from app.db import Sessions, create_engine
from app.routes import docs, health, problems
from app.routes.deps import Resources
from app.secrets import Vault
from app.services.api_keys import ApiKeys
from app.services.senders import Senders
from app.settings import Settings, load_settings
from app.temporal import Workflows
from app.tokens import UnsubscribeTokens

DESCRIPTION = """\
Omni-channel messaging over WhatsApp, e-mail and SMS: contacts, consents, templates, campaigns with fallback and
follow-ups, single messages, conversions.

Every request carries `Authorization: Bearer rk_…`. Requests may spell fields in `snake_case` or `camelCase`; answers
use `snake_case`. Errors are `application/problem+json` (RFC 9457) with a pointer to each bad field. A POST with an
`Idempotency-Key` may be repeated safely: the same key and body get the same answer, the same key with another body
gets 409.
"""
TAGS = [
    {"name": "Channel settings", "description": "The senders: one per WhatsApp number, SMS account or e-mail account."},
    {"name": "Templates", "description": "Content written once, rendered to every channel."},
    {"name": "Contacts", "description": "People, their addresses and what they allowed."},
    {"name": "Imports", "description": "Contacts from files."},
    {"name": "Segments", "description": "Rules that select contacts."},
    {"name": "Campaigns", "description": "One template to a segment, with fallback channels and follow-ups."},
    {"name": "Messages", "description": "Single messages, and conversations."},
    {"name": "Conversions", "description": "Purchases, credited to the message that brought them."},
    {"name": "Analytics", "description": "What was sent and what came of it."},
    {"name": "Webhooks", "description": "Where the providers report."},
    {"name": "Unsubscribe", "description": "The links in e-mails."},
    {"name": "Health", "description": "For load balancers and operators."},
]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Without `settings` they are read from the environment and the data directory."""
    chosen = settings or embedded.resolve(load_settings())

    app = FastAPI(
        title="Relay",
        version="1",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda app: _open(app, chosen),
    )
    problems.install(app)
    for router in (health.router, docs.router):
        app.include_router(router)
    return app


@asynccontextmanager
async def _open(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    """Open what every request shares. Neither the database nor the engine needs to be there yet."""
    if settings.database_url is None:
        raise ValueError("RELAY_DATABASE_URL is not set")
    engine = create_engine(settings.database_url.get_secret_value(), settings.database_pool_size)
    http = provider_client(concurrency=settings.send_concurrency, timeout_seconds=settings.provider_timeout_seconds)
    try:
        client = await temporal.connect(settings, lazy=True)
        sessions, vault = Sessions(engine), Vault(settings.keys)
        app.state.resources = Resources(
            settings=settings,
            sessions=sessions,
            temporal=client,
            workflows=Workflows(client),
            http=http,
            vault=vault,
            tokens=UnsubscribeTokens(settings.keys),
            senders=Senders(settings, http, vault),
            api_keys=ApiKeys(sessions),
        )
        yield
    finally:
        await http.aclose()
        await engine.dispose()
