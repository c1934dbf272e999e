"""Measurements of Relay on real parts, each in a process of its own."""
