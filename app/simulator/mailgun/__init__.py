"""Mailgun's API for sending e-mail, its events, and its webhooks."""
