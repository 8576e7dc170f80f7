"""The published networks of the chapters: load what the published run trained, or train it here.

Nothing here trains by itself: `load_or_train` calls the training that the reader wrote, or leaves it out.
"""

from dae_utils.trained.loading import load_or_train
from dae_utils.trained.storage import PublishedNetwork, PublishedNetworkError, read_published

__all__ = ["PublishedNetwork", "PublishedNetworkError", "load_or_train", "read_published"]
