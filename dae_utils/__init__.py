"""Helpers shared by the chapters of *Deep Autoencoders: From Feature Extraction to Anomaly Detection*."""
