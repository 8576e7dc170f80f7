"""Signals that arrive sample by sample: R peaks, signal quality, scores and alarms."""
