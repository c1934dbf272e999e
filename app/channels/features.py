"""`python -m app.channels.features > docs/provider-features.md`: what the adapters declare, as a page."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta

from app.channels.base import Adapter, Feature, HasInboundAddress
from app.channels.registry import ADAPTERS

MEANING = {
    Feature.TEMPLATE: "templates that the provider knows and approves",
    Feature.MEDIA: "pictures, videos and documents",
    Feature.LOCATION: "a place on a map",
    Feature.AUDIO: "voice and sound",
    Feature.BUTTONS: "buttons, lists and links to press",
    Feature.INBOUND: "what people write comes in",
    Feature.DELIVERY_REPORTS: "whether a message arrived is reported",
    Feature.READ_RECEIPTS: "whether it was read, or opened, is reported",
    Feature.LOOKUP: "a send whose answer got lost can be looked up",
    Feature.IDEMPOTENCY_KEY: "such a send is settled by repeating it under its key",
    Feature.BATCH: "one request carries several messages",
}
INTRODUCTION = """# What each provider can do

Written by `python -m app.channels.features > docs/provider-features.md` from what the adapters in `app/channels/`
declare; a test fails when it is not up to date. How to set a provider up: [docs/credentials.md](credentials.md). How to
add one: [docs/adding-a-provider.md](adding-a-provider.md).
"""
LIMITS = """Where a channel setting sets no limit, these hold. Its `messages_per_second` and `seconds_per_recipient`
replace the first two. A request carries as many messages as its `messages_per_request` says, one unless that is set.
"The provider's" means that it publishes no figure, and that its answers slow the sender down.
"""
CREDENTIALS = "`credentials` of a channel setting. The secret ones are in *italics*: answers show only their end.\n"


def page() -> str:
    """The whole page."""
    adapters = list(ADAPTERS.values())
    heads = ["", *(f"`{adapter.provider}`" for adapter in adapters)]
    features = [
        [MEANING[feature], *("yes" if feature in adapter.features else "" for adapter in adapters)]
        for feature in Feature
    ]
    channels = ["channel", *(adapter.channel.value for adapter in adapters)]
    return "\n".join(
        [
            INTRODUCTION,
            "## Features\n",
            *_table(heads, [channels, *features]),
            "\n## Limits\n",
            LIMITS,
            *_table(["provider", *(name for name, _ in COLUMNS)], [_limits(adapter) for adapter in adapters]),
            "\n## Credentials\n",
            CREDENTIALS,
            *_table(["provider", "required", "optional"], [_credentials(adapter) for adapter in adapters]),
            "",
        ]
    )


def _limits(adapter: type[Adapter]) -> list[str]:
    return [f"`{adapter.provider}`", *(show(adapter) for _, show in COLUMNS)]


def _rate(adapter: type[Adapter]) -> str:
    rate = adapter.default_messages_per_second
    return f"{rate:g}" if rate is not None else "the provider's"


def _address(adapter: type[Adapter]) -> str:
    if Feature.INBOUND not in adapter.features:
        return ""
    return "`inbound_url`" if isinstance(adapter, HasInboundAddress) else "`webhook_url`"


def _length(span: timedelta | None) -> str:
    if span is None:
        return ""
    hours = span / timedelta(hours=1)
    return f"{hours:g} h" if hours >= 1 else f"{span.total_seconds():g} s"


COLUMNS: Sequence[tuple[str, Callable[[type[Adapter]], str]]] = (
    ("messages a second", _rate),
    ("least time between two to one person", lambda adapter: _length(adapter.recipient_interval)),
    ("most messages a request", lambda adapter: str(adapter.most_per_request)),
    ("an idempotency key lasts", lambda adapter: _length(adapter.idempotency_key_lifetime)),
    ("what people write comes to", _address),
    ("its address is moved by", lambda adapter: f"`RELAY_{adapter.provider.upper()}_BASE_URL`"),
)


def _credentials(adapter: type[Adapter]) -> list[str]:
    def listed(names: Iterable[str]) -> str:
        marked = (f"*`{name}`*" if name in adapter.secret_credentials else f"`{name}`" for name in sorted(names))
        return ", ".join(marked)

    return [f"`{adapter.provider}`", listed(adapter.required_credentials), listed(adapter.optional_credentials)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
