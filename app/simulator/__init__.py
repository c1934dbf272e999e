"""A sandbox of the messaging providers: their wire formats, limits and webhooks, written from the provider's side.

One process and one port serve every provider's API, plus a control API under `/sandbox` and `/stats`. It shares no code
with the adapters, so that an error in one is seen by the other.
"""
