"""The published networks of the chapters: load what the published run trained, or train it here.

Nothing here trains by itself: after `use_published` the training that the reader wrote is done, or left out.
"""

from dae_utils.trained.loading import load_or_train, use_published
from dae_utils.trained.storage import PublishedNetwork, PublishedNetworkError, read_published

__all__ = ["PublishedNetwork", "PublishedNetworkError", "load_or_train", "read_published", "use_published"]
