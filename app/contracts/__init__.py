"""What crosses the Temporal boundary: frozen dataclasses and names. A new field gets a default, because older runs
decode without it."""
