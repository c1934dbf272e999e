import os
import shutil
import signal
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest

from app.embedded.datadir import DataDir
from app.embedded.postgres import PostgresServer, _socket_dir, _url, database_url
from tests.embedded.places import processes_of


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


class TestPostgresServer:
    def test_what_was_written_is_there_after_a_restart(self, data: DataDir) -> None:
        with PostgresServer(data.root) as server:
            run(server.url, "create table kept (n int)")
            run(server.url, "insert into kept values (7)")
        assert processes_of(data) == []
        with PostgresServer(data.root) as server:
            assert run(server.url, "select n from kept") == [(7,)]

    def test_a_killed_server_starts_again_though_its_sessions_outlive_it(self, data: DataDir) -> None:
        server = PostgresServer(data.root)
        server.start()
        run(server.url, "create table kept as select 7 as n")
        with closing(psycopg.connect(server.url)) as lingering:
            lingering.execute("select pg_backend_pid()")
            assert server.process.process is not None
            backends = psutil.Process(server.process.process.pid).children()
            backends[-1].suspend()  # does not notice that its postmaster is gone
            os.kill(server.process.process.pid, signal.SIGKILL)
            server.process.process.wait()
            assert (data.postgres / "postmaster.pid").exists()

            with PostgresServer(data.root) as again:
                assert run(again.url, "select n from kept") == [(7,)]
                assert not backends[-1].is_running()
        assert processes_of(data) == []

    def test_a_pid_file_that_names_a_stranger_does_not_stop_the_start(self, data: DataDir) -> None:
        with PostgresServer(data.root):
            left_behind = (data.postgres / "postmaster.pid").read_text().splitlines()
        pid_file = data.postgres / "postmaster.pid"
        pid_file.write_text("\n".join([str(os.getpid()), *left_behind[1:]]) + "\n")
        with PostgresServer(data.root) as server:
            assert run(server.url, "select 1") == [(1,)]

    def test_an_initialization_cut_short_is_begun_again(self, data: DataDir) -> None:
        data.make()
        (data.root / "postgres.new").mkdir()
        (data.root / "postgres.new" / "PG_VERSION").write_text("18\n")
        with PostgresServer(data.root) as server:
            assert run(server.url, "select 1") == [(1,)]

    def test_the_role_owns_its_database_and_is_bound_by_row_level_security(self, data: DataDir) -> None:
        with PostgresServer(data.root) as server:
            flags = "rolcanlogin, rolsuper, rolbypassrls, rolcreaterole"
            assert run(server.url, f"select {flags} from pg_roles where rolname = current_user") == [
                (True, False, False, True)
            ]
            owner = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
            assert run(server.url, owner) == [("relay",)]

    def test_it_listens_on_no_port_and_keeps_what_it_commits(self, data: DataDir) -> None:
        with PostgresServer(data.root) as server:
            found = run(
                server.url,
                "select current_setting('listen_addresses'), current_setting('fsync'), "
                "current_setting('synchronous_commit')",
            )
            assert found == [("", "on", "on")]

    def test_a_variable_meant_for_another_database_changes_nothing(
        self, data: DataDir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGPORT", "6543")
        with PostgresServer(data.root) as server:
            assert run(server.url, "select 1") == [(1,)]

    @pytest.mark.parametrize("name", ['it\'s "here", now', "x" * 120])
    def test_an_odd_or_long_path_works(self, data: DataDir, name: str) -> None:
        with PostgresServer(data.root / name) as server:
            assert run(server.url, "select 1") == [(1,)]
            assert server.url == database_url(data.root / name)
        shutil.rmtree(_socket_dir(server.data))

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for it")
    def test_as_root_it_runs_as_a_user_of_its_own(self, data: DataDir) -> None:
        data.root.mkdir(mode=0o700)
        with PostgresServer(data.root) as server:
            assert server.process.process is not None
            assert psutil.Process(server.process.process.pid).username() == "embedded_postgres"
        assert oct(data.postgres.stat().st_mode & 0o777) == "0o700"
        assert oct(data.root.stat().st_mode & 0o777) == "0o701"

    def test_a_server_that_cannot_start_says_why_and_leaves_nothing(self, data: DataDir) -> None:
        with PostgresServer(data.root):
            pass
        (data.postgres / "PG_VERSION").write_text("12\n")
        with pytest.raises(Exception, match=r"postgres ended while starting.*incompatible.*postgres\.log"):
            PostgresServer(data.root).start()
        assert processes_of(data) == []


class TestDatabaseUrl:
    def test_it_is_known_before_the_first_start(self, data: DataDir) -> None:
        before = database_url(data.root)
        with PostgresServer(data.root) as server:
            assert server.url == before
        assert before.startswith("postgresql://relay@/relay?host=")

    def test_a_relative_directory_gives_the_same_as_an_absolute_one(
        self, data: DataDir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data.make()
        monkeypatch.chdir(data.root.parent)
        assert database_url(Path("data")) == database_url(data.root)

    def test_another_user_of_the_machine_finds_the_socket_closed(self, data: DataDir) -> None:
        with PostgresServer(data.root):
            assert data.postgres.stat().st_mode & 0o077 == 0
            assert run(_url(data, "postgres", "postgres"), "select current_user") == [("postgres",)]
