import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest
from sqlalchemy import event, func, select
from sqlmodel import col

from app.channels.http import provider_client
from app.db import Sessions, create_engine
from app.domain.status import Channel
from app.errors import Malformed
from app.models import ChannelSetting, Tenant, WebhookEvent
from app.secrets import Vault
from app.services.senders import Senders
from app.services.webhooks import NotStored
from app.services.webhooks.directory import Directory
from app.services.webhooks.writer import GroupWriter
from app.settings import Settings
from tests import factories, providers

END_WRITERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE query LIKE '%INSERT INTO webhook_events%' AND pid <> pg_backend_pid()
"""


def row(tenant: Tenant, settings_id: UUID, key: str = "") -> bytes:
    return orjson.dumps(
        {
            "id": uuid4(),
            "tenant_id": tenant.id,
            "settings_id": settings_id,
            "channel": "sms",
            "provider": "twilio",
            "kind": "sent",
            "event": {"key": key},
            "payload": {},
            "occurred_at": "2026-01-01T00:00:00Z",
        }
    )


async def count(sessions: Sessions, tenant: Tenant) -> int:
    async with sessions.begin(tenant.id) as session:
        return int((await session.execute(select(func.count(col(WebhookEvent.id))))).scalar_one())


class TestGroupWriter:
    async def test_rows_are_committed_when_write_returns(self, sessions: Sessions, tenant: Tenant) -> None:
        async with GroupWriter(sessions) as writer:
            for expected in range(1, 4):
                await writer.write([row(tenant, uuid4())])
                assert await count(sessions, tenant) == expected

    async def test_more_than_one_group_holds_is_written_in_several(self, sessions: Sessions, tenant: Tenant) -> None:
        async with GroupWriter(sessions) as writer:
            await asyncio.gather(*(writer.write([row(tenant, uuid4()) for _ in range(7)]) for _ in range(200)))
        assert await count(sessions, tenant) == 1_400

    async def test_a_request_larger_than_a_group_is_written_whole(self, sessions: Sessions, tenant: Tenant) -> None:
        async with GroupWriter(sessions) as writer:
            await writer.write([row(tenant, uuid4()) for _ in range(1_200)])
        assert await count(sessions, tenant) == 1_200

    async def test_leaving_writes_what_still_waits(self, sessions: Sessions, tenant: Tenant) -> None:
        async with GroupWriter(sessions) as writer:
            writes = [asyncio.create_task(writer.write([row(tenant, uuid4())])) for _ in range(50)]
            await asyncio.sleep(0)
        await asyncio.gather(*writes)
        assert await count(sessions, tenant) == 50

    async def test_a_request_that_was_given_up_does_not_disturb_the_others(
        self, sessions: Sessions, tenant: Tenant
    ) -> None:
        async with GroupWriter(sessions) as writer:
            given_up = asyncio.create_task(writer.write([row(tenant, uuid4())]))
            await asyncio.sleep(0)
            given_up.cancel()
            await writer.write([row(tenant, uuid4())])
        assert given_up.cancelled()

    async def test_a_value_that_cannot_be_stored_fails_only_its_own_request(
        self, sessions: Sessions, tenant: Tenant
    ) -> None:
        async with GroupWriter(sessions) as writer:
            requests = [row(tenant, uuid4()), row(tenant, uuid4(), "\0"), row(tenant, uuid4())]
            results = await asyncio.gather(*(writer.write([one]) for one in requests), return_exceptions=True)
        assert [type(result) for result in results] == [type(None), Malformed, type(None)]
        assert await count(sessions, tenant) == 2

    async def test_a_database_that_does_not_answer_has_the_provider_deliver_again(self, tenant: Tenant) -> None:
        engine = create_engine("postgresql://relay@/relay?host=/nowhere", pool_size=1)
        async with GroupWriter(Sessions(engine)) as writer:
            for _ in range(2):  # and it goes on taking requests
                with pytest.raises(NotStored):
                    await writer.write([row(tenant, uuid4())])
        await engine.dispose()

    async def test_a_connection_that_broke_while_nothing_was_written_is_made_anew(
        self, sessions: Sessions, tenant: Tenant, database_url: str
    ) -> None:
        async with GroupWriter(sessions) as writer:
            await writer.write([row(tenant, uuid4())])
            with psycopg.connect(database_url) as other:
                ended = other.execute(END_WRITERS).fetchall()
            assert (True,) in ended
            await writer.write([row(tenant, uuid4())])
        assert await count(sessions, tenant) == 2

    async def test_a_closed_writer_takes_nothing(self, sessions: Sessions, tenant: Tenant) -> None:
        async with GroupWriter(sessions) as writer:
            await writer.write([])
        with pytest.raises(NotStored):
            await writer.write([row(tenant, uuid4())])


@pytest.fixture
async def senders(settings: Settings) -> AsyncIterator[Senders]:
    http = provider_client(concurrency=1, timeout_seconds=1)
    yield Senders(settings, http, Vault(settings.keys))
    await http.aclose()


@contextmanager
def counted(sessions: Sessions) -> Iterator[list[str]]:
    """The look-ups of channel settings meanwhile."""
    seen: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        if "FROM channel_settings" in statement:
            seen.append(statement)

    event.listen(sessions.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(sessions.engine.sync_engine, "before_cursor_execute", note)


async def make_sender(sessions: Sessions, tenant: Tenant, senders: Senders) -> ChannelSetting:
    async with sessions.begin(tenant.id) as session:
        return await factories.make_channel_setting(
            session, tenant.id, senders.vault, Channel.SMS, "twilio", providers.twilio_credentials()
        )


class TestDirectory:
    async def test_who_asks_at_the_same_time_shares_one_look_up(
        self, sessions: Sessions, tenant: Tenant, senders: Senders
    ) -> None:
        setting = await make_sender(sessions, tenant, senders)
        directory = Directory(sessions, senders)
        assert directory.known(Channel.SMS, setting.id) is None
        with counted(sessions) as look_ups:
            found = await asyncio.gather(*(directory.by_id(Channel.SMS, setting.id) for _ in range(50)))
        assert {route.sender.settings_id for route in found if route} == {setting.id}
        assert len(look_ups) == 1

    async def test_a_sender_that_is_used_stays_known_and_its_changes_are_noticed(
        self, sessions: Sessions, tenant: Tenant, senders: Senders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.services.webhooks.directory.FRESH_SECONDS", 2.0)
        setting = await make_sender(sessions, tenant, senders)
        directory = Directory(sessions, senders)
        first = await directory.by_id(Channel.SMS, setting.id)
        async with sessions.begin(tenant.id) as session:
            row = await session.get_one(ChannelSetting, setting.id)
            changed = providers.twilio_credentials(auth_token="another token")
            row.settings_json = {
                "credentials": senders.vault.seal(changed, tenant_id=tenant.id, row_id=setting.id),
            }
        async with asyncio.timeout(30):
            while (route := directory.known(Channel.SMS, setting.id)) is first:
                await asyncio.sleep(0.05)
        assert route is None or (first and route.sender.adapter is not first.sender.adapter)

    async def test_a_sender_of_another_channel_is_not_known(
        self, sessions: Sessions, tenant: Tenant, senders: Senders
    ) -> None:
        setting = await make_sender(sessions, tenant, senders)
        directory = Directory(sessions, senders)
        assert await directory.by_id(Channel.SMS, setting.id)
        assert await directory.by_id(Channel.WHATSAPP, setting.id) is None
        assert directory.known(Channel.SMS, setting.id)
