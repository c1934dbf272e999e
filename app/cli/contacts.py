"""`relay contacts`: people from a file and into a file, through the API of a running Relay."""

from typing import Annotated

import typer

from app.cli.files import FileToRead, FileToWrite, Key, OfTenant, Region, Url, client, export_through, import_through

contacts = typer.Typer(name="contacts", help="Contacts.", no_args_is_help=True)


@contacts.command("import")
def import_file(
    file: FileToRead,
    api_key: Key = "",
    tenant: OfTenant = "",
    default_region: Region = "",
    dedupe: Annotated[str, typer.Option(help="phone or email: what makes two rows one person.")] = "phone",
    url: Url = "",
    json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")] = False,
) -> None:
    """Import contacts from a file and say what became of each row."""
    options = {"default_region": default_region, "dedupe": dedupe}
    with client(api_key, tenant, url) as api:
        import_through(api, "/v1/contacts/import", file, options, quiet=json)


@contacts.command("export")
def export_file(file: FileToWrite, api_key: Key = "", tenant: OfTenant = "", url: Url = "") -> None:
    """Write all contacts, with consents and attributes, into a CSV file that can be imported again."""
    with client(api_key, tenant, url) as api:
        export_through(api, "/v1/contacts/export", file)
