"""Pure rules: no I/O, no database types, no settings; the time is an argument."""
