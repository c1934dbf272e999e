import pytest

from app.ids import new_id
from app.secrets import UnreadableSecret, Vault, mask

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
TENANT, ROW = new_id(), new_id()
VALUES = {"access_token": "EAAG-secret", "app_secret": "ção"}


class TestVault:
    def test_what_was_sealed_opens_again(self) -> None:
        vault = Vault({"k1": OLD})
        sealed = vault.seal(VALUES, tenant_id=TENANT, row_id=ROW)
        assert "secret" not in sealed
        assert vault.open(sealed, tenant_id=TENANT, row_id=ROW) == VALUES

    def test_sealing_twice_never_gives_the_same_envelope(self) -> None:
        vault = Vault({"k1": OLD})
        assert vault.seal(VALUES, tenant_id=TENANT, row_id=ROW) != vault.seal(VALUES, tenant_id=TENANT, row_id=ROW)

    def test_an_older_key_still_opens_after_rotation_and_the_first_one_seals(self) -> None:
        sealed = Vault({"k1": OLD}).seal(VALUES, tenant_id=TENANT, row_id=ROW)
        rotated = Vault({"k2": NEW, "k1": OLD})
        assert rotated.open(sealed, tenant_id=TENANT, row_id=ROW) == VALUES
        assert rotated.seal(VALUES, tenant_id=TENANT, row_id=ROW).startswith("v1:k2:")

    def test_an_envelope_copied_to_another_row_or_tenant_does_not_open(self) -> None:
        vault = Vault({"k1": OLD})
        sealed = vault.seal(VALUES, tenant_id=TENANT, row_id=ROW)
        with pytest.raises(UnreadableSecret):
            vault.open(sealed, tenant_id=TENANT, row_id=new_id())
        with pytest.raises(UnreadableSecret):
            vault.open(sealed, tenant_id=new_id(), row_id=ROW)

    @pytest.mark.parametrize("damage", ["", "v1:k1", "v1:k1:", "v1:k1:AAAA", "v9:k1:AAAA", "v1:k7:AAAA", "v1:k1:!"])
    def test_a_damaged_envelope_is_named_as_such(self, damage: str) -> None:
        with pytest.raises(UnreadableSecret):
            Vault({"k1": OLD}).open(damage, tenant_id=TENANT, row_id=ROW)

    def test_without_keys_there_is_no_vault(self) -> None:
        with pytest.raises(ValueError, match="RELAY_MASTER_KEYS"):
            Vault({})


class TestMask:
    def test_shows_at_most_four_characters_and_none_of_a_short_secret(self) -> None:
        assert mask("EAAG1234567890") == "…7890"
        assert mask("short") == "…"
