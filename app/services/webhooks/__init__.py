"""Webhooks in: find the sender, verify, store, answer. What the reports mean is the relay's business."""

from app.services.webhooks.intake import WebhookIntake
from app.services.webhooks.writer import NotStored

__all__ = ["NotStored", "WebhookIntake"]
