import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.db import Sessions
from app.domain.contact_file.cells import ContactRow
from app.domain.status import CampaignStatus, Channel, SuppressionReason
from app.models import Contact, ImportStatus, Tenant
from app.repositories import consents as consent_rows
from app.services import consents, import_batches, imports
from tests import factories, importing

A, B = "+351910000001", "+351910000002"
CONSENTS = "SELECT channel, opt_in_at_utc IS NOT NULL, opt_out_at_utc IS NOT NULL FROM consents ORDER BY channel"
SUPPRESSIONS = "SELECT channel, address, reason, lifted_at IS NULL FROM suppressions ORDER BY channel, address"


async def counts(done: Any) -> tuple[int, int, int, int]:
    return done.created, done.updated, done.merged, done.rejected


async def contact_of(sessions: Sessions, tenant: Tenant, phone: str) -> Contact:
    async with sessions.begin(tenant.id) as session:
        found = await importing.query(sessions, tenant, "SELECT id FROM contacts WHERE phone = :phone", phone=phone)
        return await session.get_one(Contact, found[0][0])


class TestWrite:
    async def test_every_row_gets_its_verdict(self, sessions: Sessions, tenant: Tenant) -> None:
        data = (
            "phone,email,first_name\n912345678,,Ana\n12,,Bad\n+351912345678,ana@example.com,\n,nobody,\n"
            "13,rui@example.com,Rui\n"
        )
        done = await importing.run(sessions, tenant, data)
        found = await importing.verdicts(sessions, tenant, done.id)
        assert [(one.number, one.verdict, one.field) for one in found] == [
            (1, "created", ""),
            (2, "rejected", "phone"),
            (3, "merged", ""),
            (4, "rejected", "email"),
            (5, "created", "phone"),
        ]
        assert found[0].contact_id == found[2].contact_id
        assert (done.status, done.rows) == (ImportStatus.DONE, 5)
        assert await counts(done) == (2, 0, 1, 2)

    async def test_non_empty_cells_overwrite_and_empty_ones_never_erase(
        self, sessions: Sessions, tenant: Tenant
    ) -> None:
        header = "phone,email,first_name,last_name,lang,timezone,tags,plan,city\n"
        await importing.run(
            sessions, tenant, f"{header}{A},ana@example.com,Ana,Silva,pt,Europe/Lisbon,x|y,free,Porto\n"
        )
        done = await importing.run(sessions, tenant, f"{header}{A},,Anna,,,,y|z,pro,\n")
        contact = await contact_of(sessions, tenant, A)
        assert await counts(done) == (0, 1, 0, 0)
        assert (contact.email, contact.first_name, contact.last_name) == ("ana@example.com", "Anna", "Silva")
        assert (contact.lang, contact.timezone, contact.country) == ("pt", "Europe/Lisbon", "PT")
        assert contact.tags_json == ["x", "y", "z"]
        assert contact.attributes_json == {"plan": "pro", "city": "Porto"}

    async def test_same_person_in_another_batch_is_merged(self, sessions: Sessions, tenant: Tenant) -> None:
        done = await importing.run(sessions, tenant, f"phone\n{A}\n{B}\n{A}\n{B}\n{A}\n", batch=2)
        assert await counts(done) == (2, 0, 3, 0)

    @pytest.mark.parametrize("dedupe", ["phone", "email"])
    async def test_batch_size_makes_no_difference(self, sessions: Sessions, dedupe: str) -> None:
        data = "phone,email,first_name,tags,consent_sms\n" + "".join(
            f"{'' if n % 4 == 3 else f'+35191000000{n * 7 % 5}'},{'' if n % 5 == 4 else f'p{n * 3 % 4}@example.com'},"
            f"N{n},t{n % 3},{('yes', 'no', '', '2026-01-01')[n % 4]}\n"
            for n in range(40)
        )
        outcomes = []
        for batch in (1, 3, 1_000):
            async with sessions.system() as session:
                tenant = await factories.make_tenant(session)
            done = await importing.run(sessions, tenant, data, batch=batch, dedupe=dedupe)
            people = await importing.query(
                sessions,
                tenant,
                "SELECT phone, email, first_name, tags_json, attributes_json, c.opt_in_at_utc IS NOT NULL, "
                "c.opt_out_at_utc IS NOT NULL FROM contacts LEFT JOIN consents c ON c.contact_id = contacts.id "
                "ORDER BY 1, 2, 3",
            )
            rows = [(one.number, one.verdict, one.field) for one in await importing.verdicts(sessions, tenant, done.id)]
            outcomes.append((people, rows))
        assert outcomes[0] == outcomes[1] == outcomes[2]

    async def test_interrupted_import_goes_on_without_loss_or_repeat(self, sessions: Sessions, tenant: Tenant) -> None:
        data = "phone\n" + "".join(f"+3519{10_000_000 + n}\n" for n in range(95))
        id = await importing.store(sessions, tenant, data)
        for _ in range(3):
            await importing.work(sessions, tenant, id, batch=10, batches=3)
        await importing.work(sessions, tenant, id, batch=10)
        done = await importing.read(sessions, tenant, id)
        assert (done.status, await counts(done)) == (ImportStatus.DONE, (95, 0, 0, 0))
        numbers = [one.number for one in await importing.verdicts(sessions, tenant, id)]
        assert numbers == list(range(1, 96))

    async def test_attempt_that_fell_behind_writes_nothing(self, sessions: Sessions, tenant: Tenant) -> None:
        id = await importing.store(sessions, tenant, f"phone\n{A}\n{B}\n")
        behind = imports.job(await importing.read(sessions, tenant, id))
        rows = await imports.RowSource(sessions, behind).take(1)
        await importing.work(sessions, tenant, id, batch=1, batches=1)
        with pytest.raises(import_batches.Superseded):
            await import_batches.write(sessions, behind, rows, offset=behind.offset)
        assert (await importing.read(sessions, tenant, id)).rows == 1

    async def test_row_that_the_database_refuses_is_rejected_alone(self, sessions: Sessions, tenant: Tenant) -> None:
        id = await importing.store(sessions, tenant, "phone\n" + "x" * 100)
        job = imports.job(await importing.read(sessions, tenant, id))
        rows = [ContactRow(n, 6 + n, phone=f"+35191000000{n}") for n in range(1, 6)]
        rows[2].first_name = "a\0b"
        await import_batches.write(sessions, job, rows, offset=job.offset)
        found = await importing.verdicts(sessions, tenant, id)
        assert [one.verdict for one in found] == ["created", "created", "rejected", "created", "created"]
        assert (await importing.read(sessions, tenant, id)).offset == 11

    async def test_number_taken_meanwhile_by_a_single_write_is_updated(
        self, sessions: Sessions, tenant: Tenant
    ) -> None:
        id = await importing.store(sessions, tenant, f"phone,first_name\n{A},Ana\n")
        async with sessions.begin(tenant.id) as session:
            rival = await factories.make_contact(session, tenant.id, phone=A)
            importer = asyncio.create_task(importing.work(sessions, tenant, id))
            async with sessions.system() as watcher:
                waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
                while not (await watcher.execute(waiting)).scalar_one():
                    await asyncio.sleep(0.01)
        await importer
        done = await importing.read(sessions, tenant, id)
        assert await counts(done) == (0, 1, 0, 0)
        assert (await contact_of(sessions, tenant, A)).id == rival.id

    async def test_number_moves_to_the_contact_the_mailbox_names(self, sessions: Sessions, tenant: Tenant) -> None:
        header = "phone,email\n"
        await importing.run(sessions, tenant, f"{header}{A},ana@example.com\n", dedupe="email")
        done = await importing.run(
            sessions, tenant, f"{header}{B},ana@example.com\n{A},rui@example.com\n", dedupe="email"
        )
        assert await counts(done) == (1, 1, 0, 0)
        people = await importing.query(sessions, tenant, "SELECT email, phone FROM contacts ORDER BY 1")
        assert people == [("ana@example.com", B), ("rui@example.com", A)]


class TestConsents:
    async def test_cells_become_consents_and_events(self, sessions: Sessions, tenant: Tenant) -> None:
        await importing.run(
            sessions,
            tenant,
            f"phone,consent_whatsapp,consent_email,consent_sms,consent_source\n{A},yes,2026-01-15,no,shop form\n",
        )
        assert await importing.query(sessions, tenant, CONSENTS) == [
            ("email", True, False),
            ("sms", False, True),
            ("whatsapp", True, False),
        ]
        dates = await importing.query(sessions, tenant, "SELECT opt_in_at_utc FROM consents WHERE channel = 'email'")
        assert dates == [(datetime(2026, 1, 15, tzinfo=UTC),)]
        events = await importing.query(
            sessions, tenant, "SELECT source, kind, payload_json->>'source' FROM events ORDER BY source"
        )
        assert events == [
            ("crm", "opted_in", "shop form"),
            ("sms", "opted_out", "shop form"),
        ]

    async def test_rows_of_one_contact_in_one_batch_end_with_its_no(self, sessions: Sessions, tenant: Tenant) -> None:
        data = f"phone,consent_sms,consent_whatsapp,consent_source\n{A},yes,,shop\n{A},no,yes,web\n"
        await importing.run(sessions, tenant, data)
        sources = (
            "SELECT channel, source, opt_in_at_utc IS NOT NULL, opt_out_at_utc IS NOT NULL FROM consents ORDER BY 1"
        )
        assert await importing.query(sessions, tenant, sources) == [
            ("sms", "web", True, True),
            ("whatsapp", "web", True, False),
        ]
        assert await importing.query(sessions, tenant, SUPPRESSIONS) == [("sms", A, "stop", True)]
        kinds = await importing.query(sessions, tenant, "SELECT source, kind FROM events ORDER BY source")
        assert kinds == [("crm", "opted_in"), ("sms", "opted_out")]

    async def test_event_names_each_channel_that_opted_in(self, sessions: Sessions, tenant: Tenant) -> None:
        await importing.run(sessions, tenant, f"phone,consent_sms,consent_email\n{A},2026-01-15,\n")
        await importing.run(sessions, tenant, f"phone,consent_sms,consent_whatsapp\n{A},yes,2026-02-01\n")
        told = "SELECT payload_json - 'import_id' FROM events ORDER BY occurred_at"
        assert await importing.query(sessions, tenant, told) == [
            ({"source": "import", "sms": "2026-01-15T00:00:00+00:00"},),
            ({"source": "import", "whatsapp": "2026-02-01T00:00:00+00:00"},),
        ]

    async def test_no_suppresses_the_address(self, sessions: Sessions, tenant: Tenant) -> None:
        data = f"phone,email,consent_email,consent_sms\n{A},ana@example.com,no,no\n"
        await importing.run(sessions, tenant, data)
        assert await importing.query(sessions, tenant, SUPPRESSIONS) == [
            ("email", "ana@example.com", "unsubscribe", True),
            ("sms", A, "stop", True),
        ]

    async def test_same_file_again_changes_no_consent(self, sessions: Sessions, tenant: Tenant) -> None:
        data = f"phone,consent_whatsapp,consent_sms\n{A},yes,no\n"
        state = "SELECT channel, opt_in_at_utc, opt_out_at_utc FROM consents ORDER BY channel"
        await importing.run(sessions, tenant, data)
        before = await importing.query(sessions, tenant, state)
        await importing.run(sessions, tenant, data)
        assert await importing.query(sessions, tenant, state) == before
        assert await importing.query(sessions, tenant, "SELECT count(*) FROM events") == [(2,)]

    async def stopped(self, sessions: Sessions, tenant: Tenant, at: datetime) -> None:
        async with sessions.begin(tenant.id) as session:
            contact = await factories.make_contact(session, tenant.id, phone=A)
            await consents.record_opt_out(
                session,
                tenant.id,
                contact.id,
                Channel.SMS,
                at=at,
                source="sms",
                reason=SuppressionReason.STOP,
                address=A,
            )

    async def test_yes_never_brings_back_somebody_who_said_stop(self, sessions: Sessions, tenant: Tenant) -> None:
        await self.stopped(sessions, tenant, datetime.now(UTC) - timedelta(days=30))
        await importing.run(sessions, tenant, f"phone,consent_sms\n{A},yes\n")
        assert await importing.query(sessions, tenant, CONSENTS) == [("sms", False, True)]
        assert await importing.query(sessions, tenant, SUPPRESSIONS) == [("sms", A, "stop", True)]

    async def test_date_before_the_stop_does_not_count(self, sessions: Sessions, tenant: Tenant) -> None:
        await self.stopped(sessions, tenant, datetime.now(UTC) - timedelta(days=30))
        await importing.run(sessions, tenant, f"phone,consent_sms\n{A},2020-01-01\n")
        assert await importing.query(sessions, tenant, SUPPRESSIONS) == [("sms", A, "stop", True)]

    async def test_date_after_the_stop_counts_and_lifts_it(self, sessions: Sessions, tenant: Tenant) -> None:
        await self.stopped(sessions, tenant, datetime.now(UTC) - timedelta(days=30))
        since = datetime.now(UTC).isoformat()
        await importing.run(sessions, tenant, f"phone,consent_sms\n{A},{since}\n")
        assert await importing.query(sessions, tenant, SUPPRESSIONS) == [("sms", A, "stop", False)]

    async def test_nothing_lifts_a_bounce(self, sessions: Sessions, tenant: Tenant) -> None:
        async with sessions.begin(tenant.id) as session:
            await consent_rows.suppress(
                session,
                tenant.id,
                Channel.EMAIL,
                "ana@example.com",
                reason=SuppressionReason.BOUNCE,
                source="sendgrid",
            )
        since = datetime.now(UTC).isoformat()
        for cell in ("yes", "no", since):
            await importing.run(sessions, tenant, f"email,consent_email\nana@example.com,{cell}\n")
        assert await importing.query(sessions, tenant, SUPPRESSIONS) == [("email", "ana@example.com", "bounce", True)]

    async def test_no_stops_the_running_sequences_of_the_contact(self, sessions: Sessions, tenant: Tenant) -> None:
        async with sessions.begin(tenant.id) as session:
            contact = await factories.make_contact(session, tenant.id, phone=A)
            campaign = await factories.make_campaign(session, tenant.id, status=CampaignStatus.DONE)
            await factories.make_recipient(
                session, tenant.id, campaign.id, contact.id, armed_at=datetime.now(UTC), state="sent"
            )
        id = await importing.store(sessions, tenant, f"phone,consent_sms\n{A},no\n{B},no\n")
        stopped = await importing.work(sessions, tenant, id)
        assert [(one.campaign_id, one.contact_id) for one in stopped] == [(campaign.id, contact.id)]
        reasons = await importing.query(sessions, tenant, "SELECT stop_reason FROM campaign_recipients")
        assert reasons == [("opted_out",)]
