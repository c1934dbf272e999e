"""Meta's WhatsApp Cloud API."""

from app.channels.whatsapp.cloud.adapter import WhatsAppCloud

__all__ = ["WhatsAppCloud"]
