"""The fast engine for TensorFlow on a processor; only `fit` opens its door."""
