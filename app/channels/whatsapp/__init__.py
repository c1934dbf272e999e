"""WhatsApp providers."""
