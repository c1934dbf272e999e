"""Resend's API for sending e-mail, and its webhooks."""
