import json
import os
import subprocess
import sys
from uuid import UUID

import pytest

from app.db import Sessions
from app.errors import Unauthenticated
from app.models import Role, Tenant
from app.services.api_keys import ApiKeys


def relay(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RELAY_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "app.cli", "tenant", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


class TestCreate:
    async def test_prints_what_a_program_needs(self, database_url: str, sessions: Sessions) -> None:
        done = relay(database_url, "create", "--name", "Loja do Zé", "--default-region", "pt", "--json")
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        assert set(made) == {"tenant_id", "slug", "api_key"}
        principal = await ApiKeys(sessions).principal(made["api_key"])
        assert (str(principal.tenant.id), principal.tenant.slug) == (made["tenant_id"], made["slug"])
        assert (principal.role, principal.tenant.default_region) == (Role.OWNER, "PT")

    def test_a_bad_value_is_one_line(self, database_url: str) -> None:
        done = relay(database_url, "create", "--name", "x", "--timezone", "Mars/Base")
        assert done.returncode == 1
        assert done.stderr.splitlines() == ["relay: 'Mars/Base' is not an IANA time zone such as Europe/Lisbon."]

    def test_a_database_that_is_away_is_one_line(self) -> None:
        done = relay("postgresql://relay@/relay?host=/nonexistent", "create", "--name", "x")
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1


class TestLimit:
    async def test_a_quota_is_set_and_lifted(self, database_url: str, sessions: Sessions) -> None:
        made = json.loads(relay(database_url, "create", "--name", "Quota", "--json").stdout)
        for options, found in (("--messages-per-day", "500"), {"messages_per_day": 500}), ((), {}):
            assert relay(database_url, "limit", "--tenant", made["slug"], *options).returncode == 0
            async with sessions.begin(UUID(made["tenant_id"])) as session:
                tenant = await session.get_one(Tenant, UUID(made["tenant_id"]))
            assert tenant.settings_json == {"limits": found}


class TestRules:
    def test_are_changed_by_a_merge_patch_and_shown(self, database_url: str) -> None:
        slug = json.loads(relay(database_url, "create", "--name", "Rules", "--json").stdout)["slug"]
        patch = json.dumps({"frequency_caps": [{"messages": 2, "period_days": 7}]})
        assert relay(database_url, "rules", "--tenant", slug, "--patch", patch).returncode == 0
        shown = json.loads(relay(database_url, "rules", "--tenant", slug).stdout)
        assert shown["frequency_caps"] == [{"messages": 2, "period_days": 7}]
        refused = relay(database_url, "rules", "--tenant", slug, "--patch", '{"soft_bounces": {"count": 0}}')
        assert (refused.returncode, refused.stderr.splitlines()) == (
            1,
            ["relay: count must be a whole number from 1 to 100."],
        )


class TestKeys:
    async def test_a_key_is_made_for_a_role_and_revoked(self, database_url: str, sessions: Sessions) -> None:
        slug = json.loads(relay(database_url, "create", "--name", "Keys", "--json").stdout)["slug"]
        wanted = ("create-key", "--tenant", slug, "--name", "reports", "--role", "viewer", "--json")
        made = json.loads(relay(database_url, *wanted).stdout)
        assert (await ApiKeys(sessions).principal(made["api_key"])).role is Role.VIEWER
        assert relay(database_url, "revoke-key", "--tenant", slug, "--prefix", made["prefix"]).returncode == 0
        with pytest.raises(Unauthenticated):
            await ApiKeys(sessions).principal(made["api_key"])
        again = relay(database_url, "revoke-key", "--tenant", slug, "--prefix", made["prefix"])
        assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)
