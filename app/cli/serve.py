"""`relay api` and `relay worker`: one part in this process, as the supervisor or a container runs it."""

import uvicorn

from app import garbage
from app.embedded import require_master_keys, resolve
from app.settings import load_settings, require_sandbox

CLOSE_SECONDS = 10  # what open requests get to finish after SIGTERM


def api() -> None:
    """Run the API alone, on RELAY_API_HOST and RELAY_API_PORT."""
    settings = resolve(load_settings())
    require_master_keys(settings)
    import api as program  # loads every route: too much for the other commands
    from app.routes.webhook_protocol import WebhookProtocol

    garbage.settle()
    uvicorn.run(
        program.create_app,
        factory=True,
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http=WebhookProtocol,
        access_log=False,
        timeout_graceful_shutdown=CLOSE_SECONDS,
        log_level=settings.log_level.lower(),
    )


def worker() -> None:
    """Run one worker alone, until it is told to stop; it drains first."""
    require_master_keys(resolve(require_sandbox(load_settings())))
    import worker as program  # loads the workflows and every provider: too much for the other commands

    program.main()
