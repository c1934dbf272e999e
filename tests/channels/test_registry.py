import pytest

from app.channels.registry import ADAPTERS, PROVIDERS, adapter_class
from app.channels.sms.twilio import TwilioSms
from app.domain.status import Channel
from app.errors import InvalidInput


class TestAdapterClass:
    def test_known_provider_gives_its_class(self) -> None:
        assert adapter_class(Channel.SMS, "twilio") is TwilioSms

    @pytest.mark.parametrize("provider", ["", "sendgrid", "carrier-pigeon"])
    def test_other_provider_is_refused_with_the_allowed_ones(self, provider: str) -> None:
        with pytest.raises(InvalidInput, match="twilio") as caught:
            adapter_class(Channel.SMS, provider)
        assert caught.value.errors[0].pointer == "/provider"


class TestProviders:
    def test_every_channel_has_one(self) -> None:
        assert all(PROVIDERS[channel] for channel in Channel)

    def test_classes_are_filed_under_their_own_names(self) -> None:
        assert all((adapter.channel, adapter.provider) == key for key, adapter in ADAPTERS.items())
