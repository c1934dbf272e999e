"""SQLModel tables, re-exported so that Alembic sees them all."""

from app.models.base import Row, TenantRow
from app.models.campaign import Campaign, CampaignRecipient, CampaignStep, Decision, Template, TemplateChannel
from app.models.channel_setting import ChannelSetting, DailyUsage, IdempotencyKey, RateBucket, SenderTrouble
from app.models.contact import Consent, Contact, LeadScore, Suppression
from app.models.contact_import import Import, ImportChunk, ImportStatus, ImportVerdicts, RowVerdict
from app.models.event import AuditLog, Conversion, Event, EventSource, WebhookEvent
from app.models.message import Conversation, ConversationStatus, Message, ShortLink
from app.models.provider_template import ProviderTemplate
from app.models.tenant import ApiKey, Role, Tenant, User

__all__ = [
    "ApiKey",
    "AuditLog",
    "Campaign",
    "CampaignRecipient",
    "CampaignStep",
    "ChannelSetting",
    "Consent",
    "Contact",
    "Conversation",
    "ConversationStatus",
    "Conversion",
    "DailyUsage",
    "Decision",
    "Event",
    "EventSource",
    "IdempotencyKey",
    "Import",
    "ImportChunk",
    "ImportStatus",
    "ImportVerdicts",
    "LeadScore",
    "Message",
    "ProviderTemplate",
    "RateBucket",
    "Role",
    "Row",
    "RowVerdict",
    "SenderTrouble",
    "ShortLink",
    "Suppression",
    "Template",
    "TemplateChannel",
    "Tenant",
    "TenantRow",
    "User",
    "WebhookEvent",
]
