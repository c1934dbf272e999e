"""Mailgun's e-mail API."""

from app.channels.email.mailgun.adapter import MailgunEmail

__all__ = ["MailgunEmail"]
