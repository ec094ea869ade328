"""Metrics and health of processes that run for long (specs/metrics.md)."""
