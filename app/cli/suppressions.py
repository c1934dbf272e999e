"""`relay suppressions`: the addresses that nobody writes to, from a file and into a file."""

from typing import Annotated

import typer

from app.cli.files import FileToRead, FileToWrite, Key, OfTenant, Region, Url, client, export_through, import_through

suppressions = typer.Typer(name="suppressions", help="Addresses that nobody writes to.", no_args_is_help=True)


@suppressions.command("import")
def import_file(
    file: FileToRead,
    api_key: Key = "",
    tenant: OfTenant = "",
    default_region: Region = "",
    default_channel: Annotated[str, typer.Option(help="whatsapp, email or sms: of rows that name none.")] = "",
    default_reason: Annotated[str, typer.Option(help="Such as bounce: of rows whose reason is no known word.")] = "",
    url: Url = "",
    json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")] = False,
) -> None:
    """Import a suppression list, our own or a provider's, and say what became of each row."""
    options = {
        "default_region": default_region,
        "default_channel": default_channel,
        "default_reason": default_reason,
    }
    with client(api_key, tenant, url) as api:
        import_through(api, "/v1/suppressions/import", file, options, quiet=json)


@suppressions.command("export")
def export_file(file: FileToWrite, api_key: Key = "", tenant: OfTenant = "", url: Url = "") -> None:
    """Write the addresses in force into a CSV file."""
    with client(api_key, tenant, url) as api:
        export_through(api, "/v1/suppressions/export", file)
