"""What may leave and how it looks: candidates through the gate, the next channel after a refusal, rendering, claiming
and recording. The caller owns the transactions and does the HTTP in between.
"""

from app.services.sending.campaign import LaunchedCampaign, Step, load_campaign
from app.services.sending.choosing import ACCEPTED, Choice, Chooser
from app.services.sending.claiming import Chunk, Outgoing, claim_chunk, requests
from app.services.sending.recording import (
    Recorded,
    not_sent,
    note_limits,
    note_sender,
    note_troubles,
    record,
    record_refused,
)
from app.services.sending.rendering import (
    Renderer,
    address_of,
    consent_of,
    contact_context,
    frozen_request,
    marketing_only,
    stored_payload,
    unrenderable,
)
from app.services.sending.shortening import draft_of
from app.services.sending.troubles import LOOK_AGAIN, REFUSED, words

__all__ = [
    "LOOK_AGAIN",
    "REFUSED",
    "ACCEPTED",
    "Choice",
    "Chooser",
    "Chunk",
    "LaunchedCampaign",
    "Outgoing",
    "Recorded",
    "Renderer",
    "Step",
    "address_of",
    "claim_chunk",
    "consent_of",
    "contact_context",
    "draft_of",
    "frozen_request",
    "load_campaign",
    "marketing_only",
    "not_sent",
    "note_limits",
    "note_sender",
    "note_troubles",
    "record",
    "record_refused",
    "requests",
    "stored_payload",
    "unrenderable",
    "words",
]
