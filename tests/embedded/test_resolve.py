import psycopg
import pytest
from pydantic import SecretStr

from app.embedded import PlatformError, database, require_master_keys, resolve
from app.embedded.datadir import DataDir
from app.embedded.postgres import PostgresServer, database_url
from app.settings import Settings
from tests.embedded.places import processes_of, settings_in

ELSEWHERE = SecretStr("postgresql://relay:secret@db.internal/relay")


class TestResolve:
    def test_what_is_left_out_comes_from_the_data_directory(self, data: DataDir) -> None:
        given = settings_in(data)
        assert given.keys == {}
        resolved = resolve(given)
        assert resolved.database_url == SecretStr(database_url(data.root))
        assert resolved.temporal_address == "127.0.0.1:7233"
        assert list(resolved.keys) == ["k1"]
        assert given.database_url is None

    def test_what_is_set_stays(self, data: DataDir) -> None:
        keys = SecretStr("own:" + "A" * 43 + "=")
        resolved = resolve(
            Settings(
                _env_file=None,
                data_dir=data.root,
                database_url=ELSEWHERE,
                temporal_address="temporal.internal:7233",
                master_keys=keys,
            )
        )
        assert resolved.database_url == ELSEWHERE
        assert resolved.temporal_address == "temporal.internal:7233"
        assert resolved.master_keys == keys
        assert not data.root.exists()

    def test_with_another_database_no_keys_are_made(self, data: DataDir) -> None:
        resolved = resolve(Settings(_env_file=None, data_dir=data.root, database_url=ELSEWHERE))
        with pytest.raises(PlatformError, match="RELAY_MASTER_KEYS is not set"):
            require_master_keys(resolved)
        assert not data.keys.exists()

    def test_keys_of_the_embedded_time_stay_in_use_with_another_database(self, data: DataDir) -> None:
        before = resolve(settings_in(data))
        moved = resolve(Settings(_env_file=None, data_dir=data.root, database_url=ELSEWHERE))
        assert moved.master_keys == before.master_keys


class TestDatabase:
    def test_it_runs_for_the_duration_when_nothing_runs_it(self, data: DataDir) -> None:
        with database(settings_in(data)) as url, psycopg.connect(url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert processes_of(data) == []

    def test_another_database_is_left_to_its_owner(self, data: DataDir) -> None:
        with PostgresServer(data.root) as server:
            settings = Settings(_env_file=None, data_dir=data.root / "other", database_url=SecretStr(server.url))
            with database(settings) as url:
                assert url == server.url
            assert server.process.running
