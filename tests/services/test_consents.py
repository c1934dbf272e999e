from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlmodel import col

from app.db import Sessions
from app.domain.status import Channel, SuppressionReason
from app.models import Consent, Contact, Event, Suppression, Tenant
from app.services.consents import record_opt_in, record_opt_out
from tests.factories import make_contact

T0 = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
STOP, COMPLAINT = SuppressionReason.STOP, SuppressionReason.COMPLAINT


@pytest.fixture
async def contact(sessions: Sessions, tenant: Tenant) -> Contact:
    async with sessions.begin(tenant.id) as session:
        return await make_contact(session, tenant.id)


class Person:
    """One contact's yes and no on SMS, and what is known afterwards."""

    def __init__(self, sessions: Sessions, contact: Contact) -> None:
        self.sessions, self.contact = sessions, contact

    async def says_yes(self, at: datetime, source: str = "form") -> None:
        async with self.sessions.begin(self.contact.tenant_id) as session:
            await record_opt_in(session, self.contact.tenant_id, self.contact.id, Channel.SMS, at=at, source=source)

    async def says_no(self, at: datetime, reason: SuppressionReason = STOP, source: str = "sms") -> None:
        async with self.sessions.begin(self.contact.tenant_id) as session:
            await record_opt_out(
                session,
                self.contact.tenant_id,
                self.contact.id,
                Channel.SMS,
                at=at,
                source=source,
                reason=reason,
                address=self.contact.phone or "",
            )

    async def consent(self) -> Consent:
        async with self.sessions.begin(self.contact.tenant_id) as session:
            return (await session.execute(select(Consent))).scalar_one()

    async def suppressed(self) -> SuppressionReason | None:
        query = select(Suppression).where(col(Suppression.lifted_at).is_(None))
        async with self.sessions.begin(self.contact.tenant_id) as session:
            found = (await session.execute(query)).scalar_one_or_none()
            return found.reason if found else None

    async def events(self) -> list[str]:
        query = select(col(Event.kind)).order_by(col(Event.occurred_at))
        async with self.sessions.begin(self.contact.tenant_id) as session:
            return list((await session.execute(query)).scalars())


@pytest.fixture
def person(sessions: Sessions, contact: Contact) -> Person:
    return Person(sessions, contact)


class TestRecordOptIn:
    async def test_is_kept_with_its_source_and_an_event(self, person: Person) -> None:
        await person.says_yes(T0, source="checkout")
        consent = await person.consent()
        assert (consent.opt_in_at_utc, consent.opt_out_at_utc, consent.source) == (T0, None, "checkout")
        assert await person.events() == ["opted_in"]

    async def test_told_twice_is_one_event(self, person: Person) -> None:
        await person.says_yes(T0)
        await person.says_yes(T0)
        assert await person.events() == ["opted_in"]

    async def test_an_older_yes_moves_nothing_back(self, person: Person) -> None:
        await person.says_yes(T0, source="new")
        await person.says_yes(T0 - HOUR, source="old")
        consent = await person.consent()
        assert (consent.opt_in_at_utc, consent.source) == (T0, "new")

    async def test_after_a_stop_lifts_the_suppression(self, person: Person) -> None:
        await person.says_no(T0)
        await person.says_yes(T0 + HOUR)
        assert await person.suppressed() is None

    async def test_from_before_a_stop_lifts_nothing(self, person: Person) -> None:
        await person.says_no(T0)
        await person.says_yes(T0 - HOUR)
        assert await person.suppressed() is STOP

    async def test_never_lifts_a_complaint(self, person: Person) -> None:
        await person.says_no(T0, COMPLAINT)
        await person.says_yes(T0 + HOUR)
        assert await person.suppressed() is COMPLAINT


class TestRecordOptOut:
    async def test_suppresses_the_address(self, person: Person, contact: Contact) -> None:
        await person.says_yes(T0 - HOUR)
        await person.says_no(T0)
        consent = await person.consent()
        assert (consent.opt_in_at_utc, consent.opt_out_at_utc) == (T0 - HOUR, T0)
        assert await person.suppressed() is STOP
        assert await person.events() == ["opted_in", "opted_out"]

    async def test_a_late_report_of_an_old_stop_does_not_undo_a_newer_yes(self, person: Person) -> None:
        await person.says_yes(T0)
        await person.says_no(T0 - HOUR)
        assert await person.suppressed() is None
        assert (await person.consent()).opt_out_at_utc == T0 - HOUR

    async def test_a_complaint_is_not_weakened_by_a_stop(self, person: Person) -> None:
        await person.says_no(T0, COMPLAINT)
        await person.says_no(T0 + HOUR, STOP)
        assert await person.suppressed() is COMPLAINT

    async def test_a_second_stop_after_a_start_suppresses_again(self, person: Person) -> None:
        await person.says_no(T0)
        await person.says_yes(T0 + HOUR)
        await person.says_no(T0 + 2 * HOUR)
        assert await person.suppressed() is STOP


async def test_consents_of_another_tenant_are_out_of_reach(
    sessions: Sessions, person: Person, contact: Contact
) -> None:
    await person.says_yes(T0)
    async with sessions.begin(UUID(int=1)) as session:
        assert (await session.execute(select(Consent))).first() is None
