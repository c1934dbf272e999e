"""Request and reply shapes."""
