"""Resend's e-mail API."""

from app.channels.email.resend.adapter import ResendEmail

__all__ = ["ResendEmail"]
