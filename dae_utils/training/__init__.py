"""Training: one function that trains any Keras model. Nothing here scores."""

from dae_utils.training.fitting import History, fit, learning_rates

__all__ = ["History", "fit", "learning_rates"]
