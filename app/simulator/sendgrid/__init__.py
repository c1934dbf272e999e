"""SendGrid's Mail Send and Event Webhook."""
