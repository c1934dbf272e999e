"""MessageBird's classic SMS API."""

from app.channels.sms.messagebird.adapter import MessageBirdSms

__all__ = ["MessageBirdSms"]
