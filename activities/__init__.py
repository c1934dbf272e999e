"""I/O as methods of small classes with injected clients. Each owns its transactions; none stays open while a provider
is called."""
