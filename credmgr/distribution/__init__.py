"""Keeping every copy of a secret the same."""
