"""A sandbox of the messaging providers: their wire formats, limits and webhooks, written from the provider's side.

One process and one port serve the WhatsApp Cloud API, Twilio's Messages and SendGrid's Mail Send, plus a control API
under `/sandbox` and `/stats`. It shares no code with the adapters, so that an error in one is seen by the other.
"""
