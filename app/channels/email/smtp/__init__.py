"""E-mail over SMTP, to any mail server that takes it."""

from app.channels.email.smtp.adapter import SmtpEmail

__all__ = ["SmtpEmail"]
