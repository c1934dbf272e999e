"""Workflows decide and wait; everything they touch goes through activities."""
