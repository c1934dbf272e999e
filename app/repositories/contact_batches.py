"""The contacts of a batch of an import, in a few statements. They read what `import_stage` holds. The caller holds the
import lock of the tenant, so only single writes of the API and of webhooks run beside these.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contact_file.roster import KnownContact, Person

# each look-up probes its index row by row: LATERAL … OFFSET 0 can't be turned around
_FIND_BY = """
    SELECT CAST(id AS text), phone, email, last_import_id IS NOT DISTINCT FROM :import_id AS seen
    FROM unnest(string_to_array(:wanted, ' ')) AS wanted(address) CROSS JOIN LATERAL (
        SELECT id, phone, email, last_import_id FROM contacts
        WHERE tenant_id = :tenant_id AND {column} = wanted.address AND deleted_at IS NULL
        OFFSET 0 FOR UPDATE
    ) AS found
"""
_FIND_BY_PHONE = text(_FIND_BY.format(column="phone"))
_FIND_BY_EMAIL = text(_FIND_BY.format(column="email"))

# a number that goes from one contact to another must be free before it is given
_RELEASE_PHONES = text("UPDATE contacts SET phone = NULL WHERE tenant_id = :tenant_id AND id = ANY(:ids)")

_INSERT = text(
    """
    INSERT INTO contacts (id, tenant_id, phone, email, first_name, last_name, lang, timezone, country, tags_json,
                          attributes_json, last_import_id)
    SELECT id, :tenant_id, phone, email, first_name, last_name, lang, timezone, country, tags, attributes, :import_id
    FROM import_stage WHERE is_new
    """
)

_UPDATE = text(
    """
    UPDATE contacts AS old SET
        phone = coalesce(new.phone, old.phone),
        email = coalesce(new.email, old.email),
        first_name = coalesce(nullif(new.first_name, ''), old.first_name),
        last_name = coalesce(nullif(new.last_name, ''), old.last_name),
        lang = coalesce(nullif(new.lang, ''), old.lang),
        timezone = coalesce(nullif(new.timezone, ''), old.timezone),
        country = coalesce(nullif(new.country, ''), old.country),
        tags_json = CASE WHEN new.tags <@ old.tags_json THEN old.tags_json ELSE old.tags_json || (
            SELECT jsonb_agg(tag) FROM jsonb_array_elements(new.tags) AS tag WHERE NOT old.tags_json @> tag
        ) END,
        attributes_json = old.attributes_json || new.attributes,
        last_import_id = :import_id
    FROM import_stage AS new
    WHERE NOT new.is_new AND old.id = new.id AND old.tenant_id = :tenant_id
    """
)


async def find(
    session: AsyncSession, tenant_id: UUID, import_id: UUID, *, phones: list[str], emails: list[str]
) -> list[KnownContact]:
    """The contacts with any of these addresses, oldest first, locked."""
    found = {}
    for statement, wanted in ((_FIND_BY_PHONE, phones), (_FIND_BY_EMAIL, emails)):
        # no address has a space in it, and nothing is read faster
        parameters = {"tenant_id": tenant_id, "import_id": import_id, "wanted": " ".join(wanted)}
        for id, phone, email, seen in await session.execute(statement, parameters):
            found[id] = KnownContact(id, phone or "", email or "", seen)
    return [found[id] for id in sorted(found)]


async def write(session: AsyncSession, tenant_id: UUID, import_id: UUID, people: list[Person]) -> None:
    """Insert the staged people that are new; on the others non-empty fields overwrite, tags and attributes are added.

    Raises IntegrityError when somebody else took a number meanwhile.
    """
    if moved := [person.id for person in people if person.moved]:
        await session.execute(_RELEASE_PHONES, {"tenant_id": tenant_id, "ids": [UUID(id) for id in moved]})
    parameters = {"tenant_id": tenant_id, "import_id": import_id}
    if not all(person.is_new for person in people):
        await session.execute(_UPDATE, parameters)
    await session.execute(_INSERT, parameters)
