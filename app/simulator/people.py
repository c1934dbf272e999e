"""The people who get the messages: what each of them does is decided by their address and the seed, or by a script."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from app.simulator.behaviour import ACTIONS, FATES, NOT_ON, Behaviour, Channel, PersonScript, Step

REPLIES = (
    "Yes please, tell me more!",
    "Obrigado! Ainda têm o tamanho M?",
    "¿Hasta cuándo vale el código?",
    "Merci, c’est noté 😊",
    "Danke, schaue ich mir an.",
    "Is delivery free?",
)


@dataclass(slots=True)
class Person:
    """One address on one channel, and what the provider remembers of it."""

    received: int = 0
    account: str = ""
    message_id: str = ""
    pair_tokens: float = -1.0  # below zero: never written to
    pair_at: float = 0.0
    facts: dict[str, Any] | None = None  # of the last message, for what the person does about it later


@dataclass(frozen=True, slots=True)
class Act:
    do: Literal["reply", "stop", "unsubscribe", "buy"]
    text: str
    amount: str
    delay_ms: float | None = None
    delay_days: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one message. `fate` is `deliver` or one of FATES."""

    fate: str = "deliver"
    code: int | None = None
    read: bool = False
    click: bool = False
    acts: tuple[Act, ...] = ()
    text: str = ""  # what the provider says of the fate, word for word


def normal_address(address: str) -> str:
    """Lower-case e-mail, or E.164 with its plus."""
    if "@" in address:
        return address.strip().lower()
    return "+" + "".join(character for character in address if character.isdigit())


class People:
    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Person] = {}
        self.scripts: dict[tuple[Channel | None, str], PersonScript] = {}

    def person(self, channel: Channel, address: str) -> Person:
        key = (channel, address)
        person = self.known.get(key)
        if person is None:
            person = self.known[key] = Person()
        return person

    def set_scripts(self, scripts: Iterable[PersonScript]) -> None:
        """Add or replace the scripts of these people; nobody else's."""
        for script in scripts:
            self.scripts[script.channel, normal_address(script.address)] = script

    def plan(self, behaviour: Behaviour, channel: Channel, address: str, nth: int) -> Plan:
        """What becomes of the nth message to this address, the first being 1. Same inputs, same plan."""
        digest = hashlib.blake2b(f"{behaviour.seed}|{address}".encode(), digest_size=56).digest()
        draws = [int.from_bytes(digest[at : at + 8]) / 2**64 for at in range(0, 56, 8)]
        script = self.scripts.get((channel, address)) or self.scripts.get((None, address)) if self.scripts else None
        if script is not None:
            return _scripted(behaviour, channel, script.script, nth, draws)
        return _drawn(behaviour, channel, nth, draws)


def _drawn(behaviour: Behaviour, channel: Channel, nth: int, draws: list[float]) -> Plan:
    shares = behaviour.shares_on(channel)
    fate, edge = "deliver", 0.0
    for name in FATES:
        if name not in NOT_ON[channel]:
            edge += getattr(shares, name)
            if draws[0] < edge:
                fate = name
                break
    else:
        if shares.deliver is not None and draws[0] >= edge + shares.deliver:
            fate = "silent"
    if fate != "deliver":
        return Plan(fate=fate, code=_fail_code(behaviour, channel, draws[1]))
    acts: tuple[Act, ...] = ()
    if nth == _acts_after(behaviour.after_weights, draws[3]):
        edge = 0.0
        for name in ACTIONS:
            if name not in NOT_ON[channel] and not (channel == "email" and name == "stop"):
                edge += getattr(shares, name)
                if draws[2] < edge:
                    acts = (_act(name, draws),)
                    break
    read = bool(acts) or draws[4] < shares.read
    seen = read or channel == "sms"  # nobody reports that an SMS was read
    return Plan(read=read, click=seen and draws[1] < shares.click, acts=acts)


def _scripted(behaviour: Behaviour, channel: Channel, steps: list[Step], nth: int, draws: list[float]) -> Plan:
    here = [step for step in steps if step.do not in NOT_ON[channel] and (step.after or nth) == nth]
    # A step tied to this message wins over one that holds for every message.
    fates = sorted((step for step in here if step.do in (*FATES, "deliver")), key=lambda step: step.after is None)
    if fates and fates[0].do != "deliver":
        code = fates[0].code or _fail_code(behaviour, channel, draws[1])
        return Plan(fate=fates[0].do, code=code, text=fates[0].text or "")
    acts = tuple(_act(step.do, draws, step) for step in here if step.do in ACTIONS and (step.after or 1) == nth)
    did = {step.do for step in here}
    return Plan(read=bool(acts) or bool(did & {"read", "click"}), click="click" in did, acts=acts)


def _acts_after(weights: list[float], draw: float) -> int:
    mark = draw * sum(weights)
    for index, weight in enumerate(weights):
        mark -= weight
        if mark < 0:
            return index + 1
    return len(weights)


def _fail_code(behaviour: Behaviour, channel: Channel, draw: float) -> int | None:
    if channel == "email":
        return None
    codes = behaviour.whatsapp_fail_codes if channel == "whatsapp" else behaviour.sms_fail_codes
    return codes[int(draw * len(codes))]


def _act(do: str, draws: list[float], step: Step | None = None) -> Act:
    text = "STOP" if do == "stop" else REPLIES[int(draws[5] * len(REPLIES))]
    amount = f"{19 + int(draws[6] * 130)}.90"
    return Act(
        do=do,  # type: ignore[arg-type]  # ACTIONS holds exactly these four words
        text=(step.text if step else None) or text,
        amount=(step.amount if step else None) or amount,
        delay_ms=step.delay_ms if step else None,
        delay_days=step.delay_days if step else None,
    )
