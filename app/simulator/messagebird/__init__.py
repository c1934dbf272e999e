"""MessageBird's classic SMS API, and its webhooks."""
