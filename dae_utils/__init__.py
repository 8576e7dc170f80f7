"""Helpers shared by the chapters of *Deep Autoencoders: From Feature Extraction to Anomaly Detection*."""

import os

# TensorFlow decides with its first operation whether all its devices share one pool of threads. The fast
# training of convolutional networks needs one of its own, see `trainers`; other work is not affected.
os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")
