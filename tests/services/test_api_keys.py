import pytest

from app.db import Sessions
from app.errors import Unauthenticated
from app.models import Role, Tenant
from app.services import api_keys


class TestApiKeys:
    async def test_a_key_leads_to_its_tenant_and_role(self, sessions: Sessions, tenant: Tenant) -> None:
        async with sessions.system() as session:
            row, key = await api_keys.create(session, tenant.id, name="shop", role=Role.VIEWER)
        assert key.startswith(f"rk_{row.prefix}_")
        assert key not in row.model_dump_json()
        principal = await api_keys.ApiKeys(sessions).principal(key)
        assert (principal.tenant.id, principal.role) == (tenant.id, Role.VIEWER)

    async def test_a_revoked_key_is_refused_once_the_cache_is_over(
        self, sessions: Sessions, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with sessions.system() as session:
            row, key = await api_keys.create(session, tenant.id, name="shop")
        keys = api_keys.ApiKeys(sessions)
        await keys.principal(key)
        async with sessions.system() as session:
            assert await api_keys.revoke(session, tenant.id, row.prefix)
            assert not await api_keys.revoke(session, tenant.id, row.prefix)
        await keys.principal(key)
        monkeypatch.setattr(api_keys, "CACHE_SECONDS", 0.0)
        with pytest.raises(Unauthenticated):
            await api_keys.ApiKeys(sessions).principal(key)

    async def test_an_unknown_key_is_refused(self, sessions: Sessions) -> None:
        with pytest.raises(Unauthenticated):
            await api_keys.ApiKeys(sessions).principal("rk_00000000_nothing")
