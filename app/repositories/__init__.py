"""Every query. Each takes a session, filters by tenant through it, and never commits."""
