"""The sandbox as a whole: who is registered, what was accepted, what people do, and what is still to be posted."""

import asyncio
import hashlib
import random
import re
import time
from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from loguru import logger

from app.simulator.accounts import MAILGUN, MESSAGEBIRD, RESEND, SENDGRID, SMTP, TWILIO, WHATSAPP, Account, Accounts
from app.simulator.behaviour import SCRIPTS, Behaviour, Channel, Shop
from app.simulator.dispatcher import SENDGRID_INBOUND, Call, Dispatcher, Event
from app.simulator.files import replace_file
from app.simulator.ledger import Journal, Ledger
from app.simulator.limits import Faults, Limits
from app.simulator.mailgun import events as mailgun_events
from app.simulator.mailgun.store import EventLog
from app.simulator.messagebird import events as messagebird_events
from app.simulator.messagebird.store import Messages
from app.simulator.people import Act, People, Plan
from app.simulator.resend import events as resend_events
from app.simulator.resend.keys import Keys
from app.simulator.sendgrid import events as sendgrid_events
from app.simulator.sendgrid import inbound as sendgrid_inbound
from app.simulator.smtp import events as smtp_events
from app.simulator.twilio import events as twilio_events
from app.simulator.twilio.store import MessageStore
from app.simulator.whatsapp import events as whatsapp_events

SNAPSHOT_SECONDS = 5.0
PROVIDERS = (WHATSAPP, TWILIO, MESSAGEBIRD, SENDGRID, MAILGUN, RESEND, SMTP)
ENCODERS = {
    WHATSAPP: whatsapp_events.encode, TWILIO: twilio_events.encode, MESSAGEBIRD: messagebird_events.encode,
    SENDGRID: sendgrid_events.encode, MAILGUN: mailgun_events.encode, RESEND: resend_events.encode,
    SENDGRID_INBOUND: sendgrid_inbound.encode,
    SMTP: smtp_events.encode,
}  # fmt: skip
HEARD = {TWILIO: twilio_events.heard, MESSAGEBIRD: messagebird_events.heard}
SHORT_LINK = re.compile(r"https?://[^\s/]+/r/[0-9A-Za-z]+")
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    "Mobile/15E148 Safari/604.1"
)
EFFECTS = ("delivered", "read", "clicked", "replied", "stopped", "unsubscribed", "complained", "bounced", "blocked",
           "dropped", "failed", "bought")  # fmt: skip


class Sandbox:
    """One per process. `state_dir` None keeps everything in memory.

    With a directory: accounts, settings and every acceptance, opt-out and window are on disk before they are answered.
    Counters and webhooks to post are written every few seconds and at a clean stop; a kill loses the last few seconds
    of those, or posts them twice.
    """

    def __init__(self, state_dir: Path | None = None) -> None:
        self.state_dir = state_dir
        if state_dir is not None:
            state_dir.mkdir(parents=True, exist_ok=True)
        self.accounts = Accounts(state_dir / "accounts.json" if state_dir else None)
        self.behaviour = Behaviour()
        self.shop: Shop | None = None
        self.people, self.ledger = People(), Ledger()
        self.limits, self.faults = Limits(), Faults()
        self.messages = MessageStore()  # Twilio's, which can be listed
        self.messagebird_messages = Messages()
        self.mailgun_events = EventLog()
        self.resend_keys = Keys()
        self.windows: dict[tuple[str, str], float] = {}  # (sender, address) -> when the person last wrote
        self.blocks: dict[tuple[str, str], str] = {}  # (sender, address) -> why the provider won't send there
        self.happened: Counter[tuple[str, str]] = Counter()  # (channel, effect)
        self.spent: dict[str, Decimal] = {}  # what people bought for, per currency
        self.random = random.Random(str(self.behaviour.seed))
        self.dispatcher = Dispatcher(lambda: self.behaviour, self.happen, self._encode)
        self.stopping = asyncio.Event()
        self.snapshots: asyncio.Task[None] | None = None
        self.journal = Journal(state_dir / "journal.jsonl" if state_dir else None)
        self._load()

    async def start(self) -> None:
        await self.dispatcher.start()
        if self.state_dir is not None:
            self.snapshots = asyncio.get_running_loop().create_task(self._snapshot_often())

    async def stop(self) -> None:
        self.stopping.set()
        if self.snapshots is not None:
            self.snapshots.cancel()
            await asyncio.gather(self.snapshots, return_exceptions=True)
        await self.dispatcher.stop()
        self._snapshot()
        self.journal.close()

    # What the providers' APIs call

    def accept(
        self, account: Account, channel: Channel, address: str, reference: str, message_id: str, facts: dict[str, Any]
    ) -> dict[str, Any]:
        """Count an accepted message and remember it as the person's last; returns its journal record, to be written."""
        self.ledger.accept(account.provider, address, reference, message_id)
        person = self.people.person(channel, address)
        person.received += 1
        person.account, person.message_id, person.facts = account.id, message_id, facts
        return {
            "k": "a", "p": account.provider, "a": account.id, "c": channel, "r": address, "f": reference,
            "i": message_id, "m": facts,
        }  # fmt: skip

    def plan(self, channel: Channel, address: str) -> Plan:
        """What would become of the next message to this address."""
        return self.people.plan(self.behaviour, channel, address, self.people.person(channel, address).received + 1)

    def block(self, sender: str, address: str, reason: str) -> None:
        """The provider won't send there any more; an empty reason lifts it."""
        if reason:
            self.blocks[sender, address] = reason
        else:
            self.blocks.pop((sender, address), None)
        self.journal.write({"k": "b", "s": sender, "r": address, "w": reason})

    def times(self, number: int) -> list[float]:
        """When so many successive things happen to one message, from now on."""
        least, most = self.behaviour.webhook_delay_ms
        moments, moment = [], time.time()
        for _ in range(number):
            moment += self.random.uniform(least, most) / 1_000
            moments.append(moment)
        return moments

    def act_time(self, act: Act, after: float) -> float:
        behaviour = self.behaviour
        if act.delay_ms is not None:
            return after + act.delay_ms / 1_000
        if act.delay_days is not None:
            return after + act.delay_days * behaviour.day_seconds
        if behaviour.action_delay_days is not None:
            return after + self.random.uniform(*behaviour.action_delay_days) * behaviour.day_seconds
        return after + self.random.uniform(*behaviour.action_delay_ms) / 1_000

    def tell(self, told: list[tuple[float, Event]]) -> None:
        """Schedule the reports on one message; some in another order, some twice."""
        behaviour = self.behaviour
        moments = [at for at, _ in told]
        if len(told) > 1 and self.random.random() < behaviour.reorder_share:
            moments.reverse()
        for at, (_, event) in zip(moments, told, strict=True):
            if event.provider == SENDGRID and behaviour.sendgrid_batch_ms:
                beat = behaviour.sendgrid_batch_ms / 1_000
                at = -(-at // beat) * beat
            self.dispatcher.schedule(event, at)
            if behaviour.duplicate_share and self.random.random() < behaviour.duplicate_share:
                again = Event(**{**asdict(event), "effect": ""})
                self.dispatcher.schedule(again, at + self.random.uniform(*behaviour.webhook_delay_ms) / 1_000)

    def purchase(self, channel: Channel, address: str, reference: str, act: Act, at: float) -> None:
        """Let the person buy in the shop, if there is one. The order id is the same however often it is reported."""
        if self.shop is None:
            return
        order = hashlib.blake2b(f"{reference}|{address}".encode(), digest_size=8).hexdigest()
        payload = {
            "email" if channel == "email" else "phone": address,
            "amount": act.amount,
            "currency": self.behaviour.currency,
            "order_id": f"ord-{order}",
        }
        event = Event("shop", "", payload, kind="purchase", effect="bought", channel=channel, address=address)
        self.dispatcher.schedule(event, at)

    def follow_link(self, channel: Channel, address: str, text: str, after: float) -> None:
        """Let the person open the short link in a message, if there is one."""
        found = SHORT_LINK.search(text)
        if found is not None:
            event = Event("link", "", {}, "click", url=found[0], effect="clicked", channel=channel, address=address)
            least, most = self.behaviour.click_delay_ms
            self.dispatcher.schedule(event, after + self.random.uniform(least, most) / 1_000)

    # What the control API calls

    def set_behaviour(self, behaviour: Behaviour) -> None:
        if behaviour.seed != self.behaviour.seed:
            self.random = random.Random(str(behaviour.seed))
        self.behaviour = behaviour
        self.save_config()

    def reset(self) -> None:
        """Forget everything but the accounts, the behaviour and the shop. Webhooks not yet posted are dropped."""
        self.dispatcher.clear()
        self.ledger, self.messages, self.limits = Ledger(), MessageStore(), Limits()
        self.messagebird_messages, self.resend_keys, self.mailgun_events = Messages(), Keys(), EventLog()
        self.people, self.faults = People(), Faults()
        self.windows.clear()
        self.blocks.clear()
        self.happened.clear()
        self.spent.clear()
        self.random = random.Random(str(self.behaviour.seed))
        self.journal.clear()
        self.save_config()
        self._snapshot()

    def stats(self, summary: bool) -> dict[str, Any]:
        people = dict.fromkeys(EFFECTS, 0)
        by_channel: dict[str, dict[str, int]] = {}
        for (channel, effect), number in self.happened.items():
            people[effect] = people.get(effect, 0) + number
            by_channel.setdefault(channel, {})[effect] = number
        counts = self.dispatcher.counts
        stats: dict[str, Any] = {
            "totals": self.ledger.stats(PROVIDERS),
            "duplicates": self.ledger.duplicates,
            "people": people,
            "people_by_channel": by_channel,
            "spent": {currency: str(amount) for currency, amount in self.spent.items()},
            "webhooks": {
                "sent": counts["sent"],
                "retried": counts["retried"],
                "pending": self.dispatcher.pending,
                "dropped": counts["dropped"],
                "lost": counts["lost"],
            },
            "faults": dict(self.faults.counts),
        }
        if not summary:
            stats["accepted"] = self.ledger.entries()
        return stats

    # Events

    def happen(self, event: Event) -> None:
        self.happened[event.channel, event.effect] += 1
        if event.effect == "bought":
            currency = event.payload["currency"]
            self.spent[currency] = self.spent.get(currency, Decimal(0)) + Decimal(event.payload["amount"])
        if event.channel == "whatsapp" and event.kind == "inbound":
            self.windows[event.account, event.address] = time.time()
            self.journal.write({"k": "w", "s": event.account, "r": event.address, "t": time.time()})
        elif event.channel == "sms" and event.kind == "inbound":
            HEARD[event.provider](self, event)
        elif event.provider == MAILGUN:
            mailgun_events.happened(self, event)
        elif event.provider == RESEND:
            resend_events.happened(self, event)
        elif event.channel == "email" and event.provider != SMTP:  # a mail server keeps no list of addresses
            sendgrid_events.happened(self, event)

    def _encode(self, batch: list[Event]) -> Call | None:
        event = batch[0]
        if event.provider == "shop":
            if self.shop is None:
                return None
            headers = {"Authorization": f"Bearer {self.shop.api_key}", "Content-Type": "application/json"}
            return Call(self.shop.url, headers, orjson.dumps(event.payload))
        if event.provider == "one_click":
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            return Call(event.url, form, b"List-Unsubscribe=One-Click")
        if event.provider == "link":
            return Call(event.url, {"User-Agent": PHONE, "Accept": "text/html,*/*;q=0.8"}, b"", "GET")
        provider = SENDGRID if event.provider == SENDGRID_INBOUND else event.provider
        account = self.accounts.get(provider, event.account)
        if account is None:
            return None
        return ENCODERS[event.provider](account, batch)

    # The state directory

    def save_config(self) -> None:
        if self.state_dir is not None:
            config = {
                "behaviour": self.behaviour.model_dump(mode="json"),
                "people": [script.model_dump(mode="json") for script in self.people.scripts.values()],
                "shop": self.shop.model_dump(mode="json") if self.shop else None,
            }
            replace_file(self.state_dir / "config.json", orjson.dumps(config))

    async def _snapshot_often(self) -> None:
        pause = SNAPSHOT_SECONDS
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            self._snapshot()
            # After an outage there is much to write; requests wait meanwhile, so it gets at most 2 % of the time.
            pause = max(SNAPSHOT_SECONDS, 50 * (time.monotonic() - began))

    def _snapshot(self) -> None:
        """What the journal doesn't hold: counters, and the webhooks still to be posted."""
        if self.state_dir is None:
            return
        snapshot = {
            "rejected": self.ledger.rejected,
            "throttled": self.ledger.throttled,
            "happened": [(channel, effect, number) for (channel, effect), number in self.happened.items()],
            "spent": {currency: str(amount) for currency, amount in self.spent.items()},
            "webhooks": self.dispatcher.counts,
            "pending": self.dispatcher.waiting(),
        }
        replace_file(self.state_dir / "snapshot.json", orjson.dumps(snapshot))

    def _load(self) -> None:
        if self.state_dir is None:
            return
        config = self.state_dir / "config.json"
        if config.exists():
            kept = orjson.loads(config.read_bytes())
            self.behaviour = Behaviour.model_validate(kept["behaviour"])
            self.people.set_scripts(SCRIPTS.validate_python(kept["people"]))
            self.shop = Shop.model_validate(kept["shop"]) if kept["shop"] else None
        for record in self.journal.read():
            self._replay(record)
        snapshot = self.state_dir / "snapshot.json"
        if snapshot.exists():
            kept = orjson.loads(snapshot.read_bytes())
            self.ledger.rejected = {provider: Counter(codes) for provider, codes in kept["rejected"].items()}
            self.ledger.throttled.update(kept["throttled"])
            self.happened.update({(channel, effect): number for channel, effect, number in kept["happened"]})
            self.spent = {currency: Decimal(amount) for currency, amount in kept.get("spent", {}).items()}
            self.dispatcher.counts.update(kept["webhooks"])
            for at, event in kept["pending"]:
                self.dispatcher.schedule(Event(**event), at)
        logger.info(
            "sandbox state read: {} accepted, {} webhooks to post",
            self.ledger.totals.total(),
            self.dispatcher.pending,
        )

    def _replay(self, record: dict[str, Any]) -> None:
        match record["k"]:
            case "a":
                account = self.accounts.get(record["p"], record["a"])
                if account is not None:
                    self.accept(account, record["c"], record["r"], record["f"], record["i"], record["m"])
                    if record["p"] == TWILIO:
                        self.messages.add(record["m"])
                    elif record["p"] == MESSAGEBIRD:
                        self.messagebird_messages.add(record["m"])
                    elif record["p"] == MAILGUN:
                        mailgun_events.log_accepted(self, account, record["r"], record["m"])
                    elif record["p"] == RESEND:
                        self.resend_keys.keep(account.id, record["m"])
            case "w":
                self.windows[record["s"], record["r"]] = record["t"]
            case "b" if record["w"]:
                self.blocks[record["s"], record["r"]] = record["w"]
            case "b":
                self.blocks.pop((record["s"], record["r"]), None)
