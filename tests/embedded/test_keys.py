import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.embedded.datadir import DataDir
from app.embedded.errors import PlatformError
from app.embedded.keys import ensure_master_keys
from app.settings import parse_master_keys


class TestEnsureMasterKeys:
    def test_keys_are_made_once_and_stay(self, data: DataDir) -> None:
        made = ensure_master_keys(data.root)
        assert ensure_master_keys(data.root) == made
        assert list(parse_master_keys(made)) == ["k1"]

    def test_only_their_owner_can_read_them(self, data: DataDir) -> None:
        ensure_master_keys(data.root)
        assert stat.S_IMODE(data.keys.stat().st_mode) == 0o600

    def test_a_file_open_to_others_is_refused(self, data: DataDir) -> None:
        ensure_master_keys(data.root)
        data.keys.chmod(0o640)
        with pytest.raises(PlatformError, match=r"mode 0640.*chmod 600"):
            ensure_master_keys(data.root)

    def test_a_damaged_file_is_refused_and_not_replaced(self, data: DataDir) -> None:
        ensure_master_keys(data.root)
        data.keys.write_text("k1:half")
        with pytest.raises(PlatformError, match="restore it from a backup"):
            ensure_master_keys(data.root)
        assert data.keys.read_text() == "k1:half"

    def test_many_first_starts_at_once_agree(self, data: DataDir) -> None:
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda _: ensure_master_keys(data.root), range(16)))
        assert len(found) == 1
        assert [path.name for path in data.root.iterdir() if path.is_file()] == ["master.keys"]
