"""How a sender's limit becomes permits, and how the workers share them. All of it is arithmetic on what it is given.

A limit of L messages per second is L permits. A message needs one from before it leaves until a second after the
provider has answered it. That alone keeps the limit, whatever the network does: the provider counts a message at some
instant between departure and answer, so when any second of the provider's ends, each message that it counted in that
second still has its permit. There are only L permits; hence it counted L at most. Delays on the way, bursts, a busy
machine: nothing of it matters, since the permit waits for the answer and not for a guess of how long it takes.
What this costs is the time of one answer per second: at 20 ms the use is 98 % of the limit.

Two reservations. A request that gets no answer counts as arrived when it is given up, after the provider's timeout.
And a worker that dies takes its permits with it; the others get them once its lease has run out for longer than a
request takes to arrive (`GRACE_SECONDS`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

# A second of the provider's clock may be a little longer than one of ours.
CLOCK_MARGIN = 1.002
# So long a worker may use its permits without renewing its lease ...
LEASE_SECONDS = 3.0
# ... and so much longer nobody else gets them: its last requests have to arrive first.
GRACE_SECONDS = 2.0
# Who holds one of too few permits gives it to the next after so long.
TURN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Window:
    """At most `permits` messages in any `seconds`."""

    permits: int
    seconds: float


def window_of(per_second: float) -> Window:
    """Whole messages only: 2.5 a second are 2 in any second, and 0.1 a second are 1 in any ten."""
    if per_second >= 1:
        return Window(int(per_second), CLOCK_MARGIN)
    return Window(1, CLOCK_MARGIN / per_second)


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker holds, what it would like to hold, and until when nobody else gets it."""

    permits: int
    want: int
    until: float


@dataclass(frozen=True, slots=True)
class Settlement:
    """`permits` may be held from now on. `keep` is how many of them the others leave to this worker; `contested` says
    that somebody lacks some. `lapsed`: the lease had run out, so what was held before is void."""

    permits: int
    keep: int
    contested: bool
    lapsed: bool
    shares: dict[str, Share]


def settle(
    shares: Mapping[str, Share], me: str, *, held: int, want: int, permits: int, now: float, length: float
) -> Settlement:
    """Renew the lease of `me`, who still holds `held`, for `length` seconds: with more permits if some are free.

    Nobody is taken any away: who holds more than its fair share while another lacks some is told, and gives them back
    as they come free.
    """
    mine = shares.get(me)
    lapsed = held > 0 and (mine is None or mine.until <= now)
    held = 0 if lapsed else held
    others = {name: share for name, share in shares.items() if name != me and share.until > now}
    fair = fair_shares(permits, {me: want, **{name: share.want for name, share in others.items()}}, now)[me]
    free = permits - held - sum(share.permits for share in others.values())
    contested = free < 0 or any(share.want > share.permits for share in others.values())
    mine_now = held + max(0, min(free, (fair if contested else want) - held))
    settled = dict(others)
    if mine_now or want:
        settled[me] = Share(mine_now, want, now + length)
    return Settlement(mine_now, min(mine_now, fair) if contested else mine_now, contested, lapsed, settled)


def fair_shares(permits: int, wants: Mapping[str, int], now: float) -> dict[str, int]:
    """Everybody what they want; where that is too much, the same for all who want more. A remainder goes round."""
    shares = dict.fromkeys(wants, 0)
    names = sorted(wants)
    first = int(now / TURN_SECONDS) % len(names)
    open_names = [name for name in names[first:] + names[:first] if wants[name] > 0]
    left = permits
    while left > 0 and open_names:
        each = left // len(open_names)
        if each == 0:
            for name in open_names[:left]:
                shares[name] += 1
            break
        for name in open_names:
            gain = min(each, wants[name] - shares[name])
            shares[name] += gain
            left -= gain
        open_names = [name for name in open_names if shares[name] < wants[name]]
    return shares
