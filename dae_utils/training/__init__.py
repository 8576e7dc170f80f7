"""Training: one function that trains any Keras model. Nothing here scores."""

from dae_utils.training.fitting import fit
from dae_utils.training.history import History
from dae_utils.training.schedules import learning_rates
from dae_utils.training.tracing import trace_once

__all__ = ["History", "fit", "learning_rates", "trace_once"]
