"""SendGrid's v3 mail API."""

from app.channels.email.sendgrid.adapter import SendGridEmail

__all__ = ["SendGridEmail"]
