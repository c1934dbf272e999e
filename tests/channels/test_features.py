from pathlib import Path

from app.channels.base import Feature
from app.channels.features import MEANING, page
from app.channels.registry import ADAPTERS

PAGE = Path(__file__).parents[2] / "docs/provider-features.md"


class TestPage:
    def test_what_is_published_is_what_the_adapters_declare(self) -> None:
        assert PAGE.read_text() == page(), "write it anew: python -m app.channels.features > docs/provider-features.md"

    def test_every_feature_and_provider_has_its_line(self) -> None:
        lines = page().splitlines()
        assert all(any(line.startswith(f"| {MEANING[feature]} |") for line in lines) for feature in Feature)
        for adapter in ADAPTERS.values():
            assert sum(line.startswith(f"| `{adapter.provider}` |") for line in lines) == 2


class TestDeclarations:
    def test_only_batches_share_a_request(self) -> None:
        for adapter in ADAPTERS.values():
            assert (adapter.most_per_request > 1) is (Feature.BATCH in adapter.features), adapter.provider

    def test_only_idempotency_keys_have_a_lifetime(self) -> None:
        for adapter in ADAPTERS.values():
            lifetime = adapter.idempotency_key_lifetime
            assert (lifetime is not None) is (Feature.IDEMPOTENCY_KEY in adapter.features), adapter.provider
