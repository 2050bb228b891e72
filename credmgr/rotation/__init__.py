"""Replacing a credential's secret without an outage."""
