"""Which adapter serves which provider on which channel. By hand: a new provider is one line here."""

from app.channels.base import Adapter
from app.channels.email.mailgun import MailgunEmail
from app.channels.email.resend import ResendEmail
from app.channels.email.sendgrid import SendGridEmail
from app.channels.email.smtp import SmtpEmail
from app.channels.sms.messagebird import MessageBirdSms
from app.channels.sms.twilio import TwilioSms
from app.channels.whatsapp.cloud import WhatsAppCloud
from app.domain.status import Channel
from app.errors import InvalidInput

ADAPTERS: dict[tuple[Channel, str], type[Adapter]] = {
    (Channel.WHATSAPP, "whatsapp_cloud"): WhatsAppCloud,
    (Channel.SMS, "twilio"): TwilioSms,
    (Channel.SMS, "messagebird"): MessageBirdSms,
    (Channel.EMAIL, "sendgrid"): SendGridEmail,
    (Channel.EMAIL, "mailgun"): MailgunEmail,
    (Channel.EMAIL, "resend"): ResendEmail,
    (Channel.EMAIL, "smtp"): SmtpEmail,
}
PROVIDERS: dict[Channel, tuple[str, ...]] = {
    channel: tuple(provider for served, provider in ADAPTERS if served is channel) for channel in Channel
}


def adapter_class(channel: Channel, provider: str) -> type[Adapter]:
    """The adapter of a provider. Raises InvalidInput, which names the providers of the channel."""
    try:
        return ADAPTERS[channel, provider]
    except KeyError:
        allowed = ", ".join(PROVIDERS[channel])
        detail = f"{provider!r} is not a provider of {channel}; use one of: {allowed}"
        raise InvalidInput.at("/provider", detail) from None
