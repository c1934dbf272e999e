"""How fast a campaign launches and arms: `python -m benchmarks.launch [CONTACTS]`.

Own PostgreSQL, engine, simulator (20 ms per request) and worker, each a process of its own, in a temporary directory.
Prints JSON: `launch_per_second` from the start of the campaign's workflow to the last message that a provider accepted,
the processor time of each part until then (arming, which runs beside it, included), and `armed_per_second` over the
arming lane, which runs beside the launch and after it.
"""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app import temporal
from app.contracts.campaign import CampaignInput
from app.db import Sessions, create_engine
from app.domain.status import CampaignStatus, Channel
from app.embedded.engine import EngineServer
from app.embedded.postgres import PostgresServer
from app.ids import new_id
from app.migrations import runner
from app.models import Campaign, CampaignStep, ChannelSetting, Template, Tenant
from app.secrets import Vault
from app.settings import Settings
from app.temporal import Workflows

KEYS = "bench:" + base64.b64encode(bytes(32)).decode()
CORE = {
    "blocks": {"subject": "Spring", "body": "Hi {{ contact.first_name }}, {{ code }} is yours."},
    "whatsapp": {"name": "spring_offer", "language": "en_US", "body": ["{{ contact.first_name }}", "{{ code }}"]},
    "variables": [{"name": "code", "type": "string", "required": True, "default": None}],
}
MAKE_CONTACTS = text(
    """
    WITH made AS (
        INSERT INTO contacts (tenant_id, phone, email, first_name, country)
        SELECT :tenant_id, '+35191' || lpad(n::text, 7, '0'), 'person' || n || '@example.com', 'Ana', 'PT'
        FROM generate_series(1, :count) n RETURNING id
    )
    INSERT INTO consents (tenant_id, contact_id, channel, opt_in_at_utc)
    SELECT :tenant_id, id, channel, now() FROM made, unnest(ARRAY['whatsapp', 'sms', 'email']) AS channel
    """
)
PARTS = {"worker": "-m worker", "simulator": "app.simulator", "engine": "temporal server", "postgres": "postgres"}
PROGRESS = text(
    """
    SELECT count(*) FILTER (WHERE sent_at IS NOT NULL), min(sent_at), max(sent_at),
           (SELECT count(armed_at) FROM campaign_recipients WHERE campaign_id = :id),
           (SELECT min(armed_at) FROM campaign_recipients WHERE campaign_id = :id),
           (SELECT max(armed_at) FROM campaign_recipients WHERE campaign_id = :id)
    FROM messages WHERE campaign_id = :id
    """
)


@contextmanager
def process(arguments: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as output:
        child = subprocess.Popen(
            [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, stderr=output, text=True
        )
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(40)


def cpu_seconds() -> dict[str, float]:
    """Processor time of each part so far, its children included, of the processes this one started."""
    used = dict.fromkeys(PARTS, 0.0)
    for process in psutil.Process().children(recursive=True):
        try:
            line, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:
            continue
        part = next((name for name, mark in PARTS.items() if mark in line), None)
        if part:
            used[part] += times.user + times.system
    return used


async def prepare(session: AsyncSession, tenant: Tenant, credentials: dict[str, str], settings: Settings) -> UUID:
    """A tenant with a WhatsApp sender without a limit of its own, and a campaign ready to start."""
    setting = ChannelSetting(
        id=new_id(),
        tenant_id=tenant.id,
        channel=Channel.WHATSAPP,
        provider="whatsapp_cloud",
        name="bench",
        account="bench",
        is_default=True,
    )
    sealed = Vault(settings.keys).seal(credentials, tenant_id=tenant.id, row_id=setting.id)
    setting.settings_json = {"credentials": sealed, "limits": {"messages_per_second": 100_000}}
    template = Template(id=new_id(), tenant_id=tenant.id, name="spring", core_schema_json=CORE)
    session.add_all([setting, template])
    await session.flush()
    campaign = Campaign(
        id=new_id(),
        tenant_id=tenant.id,
        name="Bench",
        primary_channel=Channel.WHATSAPP,
        template_id=template.id,
        variables_json={"code": "SPRING"},
        quiet_hours_json={},
        status=CampaignStatus.PENDING,
        launched_at=datetime.now(UTC),
        workflow_started_at=datetime.now(UTC),
    )
    session.add(campaign)
    await session.flush()
    session.add_all(
        CampaignStep(
            tenant_id=tenant.id,
            campaign_id=campaign.id,
            position=position,
            after_days=float(position),
            template_id=template.id,
            template_name="spring",
            core_schema_json=CORE,
        )
        for position in range(2)
    )
    return campaign.id


async def measure(settings: Settings, simulator: str, contacts: int) -> dict[str, Any]:
    assert settings.database_url is not None
    engine = create_engine(settings.database_url.get_secret_value(), 4)
    sessions = Sessions(engine)
    tenant = Tenant(id=new_id(), name="Bench", slug="bench")
    async with httpx.AsyncClient() as http:
        credentials = (await http.get(f"{simulator}/sandbox/accounts")).json()["whatsapp_cloud"]
        await http.put(f"{simulator}/sandbox/behaviour", json={"shares": {"silent": 1.0}, "latency_ms": 20})
    async with sessions.system() as session:
        session.add(tenant)
    async with sessions.begin(tenant.id) as session:
        await session.execute(MAKE_CONTACTS, {"tenant_id": tenant.id, "count": contacts})
    async with sessions.begin(tenant.id) as session:
        campaign_id = await prepare(session, tenant, credentials, settings)
    client = await temporal.connect(settings)
    began, busy = datetime.now(UTC), cpu_seconds()
    launched: dict[str, float] = {}
    await Workflows(client).start_campaign(CampaignInput(tenant_id=tenant.id, campaign_id=campaign_id))
    while True:
        await asyncio.sleep(0.5)
        async with sessions.begin(tenant.id) as session:
            sent, _, last_sent, armed, first_armed, last_armed = (
                await session.execute(PROGRESS, {"id": campaign_id})
            ).one()
        if sent >= contacts and not launched:
            launched = cpu_seconds()
        if armed >= contacts:
            break
    async with httpx.AsyncClient() as http:
        stats = (await http.get(f"{simulator}/stats", params={"summary": 1})).json()
    await engine.dispose()
    return {
        "contacts": contacts,
        "sent": sent,
        "accepted_by_provider": stats["totals"]["whatsapp_cloud"]["accepted"],
        "sent_twice": stats["duplicates"],
        "launch_seconds": round((last_sent - began).total_seconds(), 2),
        "launch_per_second": round(contacts / (last_sent - began).total_seconds()),
        "launch_cpu_seconds_per_1000": {
            part: round((launched[part] - busy[part]) * 1_000 / contacts, 2) for part in PARTS
        },
        "arming_seconds": round((last_armed - first_armed).total_seconds(), 2),
        "armed_per_second": round(armed / (last_armed - first_armed).total_seconds()),
    }


def main() -> None:
    contacts = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    with (
        tempfile.TemporaryDirectory() as name,
        PostgresServer(Path(name)) as postgres,
        EngineServer(Path(name)) as engine,
    ):
        runner.upgrade(postgres.url)
        with process(["-m", "app.simulator", "--port", "0"], dict(os.environ), Path(name) / "simulator.log") as sandbox:
            assert sandbox.stdout is not None
            simulator = sandbox.stdout.readline().split()[-1].strip()
            environment = {
                **os.environ,
                "RELAY_DATA_DIR": name,
                "RELAY_DATABASE_URL": postgres.url,
                "RELAY_TEMPORAL_ADDRESS": engine.address,
                "RELAY_MASTER_KEYS": KEYS,
                "RELAY_WHATSAPP_CLOUD_BASE_URL": simulator,
                "RELAY_READY_FILE": f"{name}/ready",
            }
            with process(["-m", "worker"], environment, Path(name) / "worker.log"):
                while not Path(name, "ready").exists():
                    time.sleep(0.1)
                settings = Settings(
                    _env_file=None,
                    database_url=SecretStr(postgres.url),
                    temporal_address=engine.address,
                    master_keys=SecretStr(KEYS),
                    whatsapp_cloud_base_url=simulator,
                )
                sys.stdout.write(json.dumps(asyncio.run(measure(settings, simulator, contacts)), indent=2) + "\n")


if __name__ == "__main__":
    main()
