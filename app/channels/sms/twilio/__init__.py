"""Twilio's Messages resource."""

from app.channels.sms.twilio.adapter import TwilioSms

__all__ = ["TwilioSms"]
