"""Frequency caps: at most so many marketing messages to a contact in a period, on one channel or on all together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain.pointers import Problems, child
from app.domain.status import Channel

LONGEST_DAYS = 90
MOST_MESSAGES = 1_000
MOST_CAPS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class FrequencyCap:
    """`channel` None: over all channels."""

    channel: Channel | None
    messages: int
    period: timedelta

    def __str__(self) -> str:
        return (
            f"{self.messages} in {self.period / timedelta(hours=1):g} h{f' on {self.channel}' if self.channel else ''}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A marketing message that left, or may have left, for the contact."""

    channel: Channel
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Capped:
    """No further message before `until`, when the earliest that counts leaves the period of `cap`."""

    until: datetime
    cap: FrequencyCap


def capped(caps: Iterable[FrequencyCap], channel: Channel, sent: Sequence[Sent], now: datetime) -> Capped | None:
    """The cap that keeps another message on `channel` waiting longest, if any does."""
    found: Capped | None = None
    for cap in caps:
        if cap.channel not in {None, channel}:
            continue
        counted = sorted(
            it.at for it in sent if (cap.channel is None or it.channel is cap.channel) and it.at > now - cap.period
        )
        if len(counted) >= cap.messages:
            until = counted[-cap.messages] + cap.period
            found = Capped(until=until, cap=cap) if found is None or until > found.until else found
    return found


def parse_caps(value: Any, pointer: str, problems: Problems) -> tuple[FrequencyCap, ...]:
    """Read `[{"channel": null, "messages": 3, "period_days": 7}]`."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_CAPS:
        problems.add(pointer, f"frequency_caps must be a list of at most {MOST_CAPS} caps.")
        return ()
    read = [_cap(item, child(pointer, place), problems) for place, item in enumerate(value)]
    return tuple(cap for cap in read if cap is not None)


def _cap(value: Any, pointer: str, problems: Problems) -> FrequencyCap | None:
    before = len(problems.errors)
    if not isinstance(value, dict):
        problems.add(pointer, 'A cap is an object such as {"messages": 3, "period_days": 7}.')
        return None
    problems.unknown_keys(value, ("channel", "messages", "period_days", "period_hours"), pointer)
    channel, messages = value.get("channel"), value.get("messages")
    if channel not in {None, *Channel}:
        problems.add(child(pointer, "channel"), f"channel must be null or one of {', '.join(Channel)}.")
    if not _is_whole(messages, MOST_MESSAGES):
        problems.add(child(pointer, "messages"), f"messages must be a whole number from 1 to {MOST_MESSAGES}.")
    days, hours = value.get("period_days"), value.get("period_hours")
    if (days is None) == (hours is None):
        problems.add(child(pointer, "period_days"), "Give either period_days or period_hours.")
    elif not _is_whole(days if hours is None else hours, LONGEST_DAYS * (1 if hours is None else 24)):
        name = "period_days" if hours is None else "period_hours"
        problems.add(
            child(pointer, name), f"{name} must be a whole number, and the period at most {LONGEST_DAYS} days."
        )
    if len(problems.errors) > before or not isinstance(messages, int):
        return None
    period = timedelta(days=days or 0, hours=hours or 0)
    return FrequencyCap(channel=Channel(channel) if channel else None, messages=messages, period=period)


def _is_whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
