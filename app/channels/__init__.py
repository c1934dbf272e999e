"""Provider adapters: one class per channel and provider, behind the port in `base`."""
