"""`python -m app.simulator`: the provider sandbox as a process of its own."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from loguru import logger

from app.simulator.server import run


def main(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65_535)] = 8900,
    smtp_port: Annotated[int, typer.Option(help="Port of its mail server; 0 takes a free one.", min=0, max=65_535)] = 0,
    state_dir: Annotated[
        Path | None,
        typer.Option(help="Where accounts, the ledger and webhooks to post are kept; default: memory only."),
    ] = None,
    log_level: Annotated[str, typer.Option(help="DEBUG shows every webhook that was not taken.")] = "INFO",
) -> None:
    """Serve the APIs of all providers as a sandbox."""
    logger.remove()
    logger.add(sys.stderr, level=log_level.upper())
    try:
        run(host, port, state_dir, smtp_port)
    except OSError as error:
        where = f"{host}:{port}" + (f", or for mail on {host}:{smtp_port}" if smtp_port else "")
        typer.echo(f"simulator: cannot listen on {where}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
