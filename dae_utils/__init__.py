"""The library of *Deep Autoencoders: From Feature Extraction to Anomaly Detection*.

What a reader imports first can be imported from here. It is loaded when it is asked for, so that a program
that only reads data does not wait for Keras.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dae_utils.data import load_cifar10, load_fashion_mnist, load_heartbeats, load_mnist
    from dae_utils.detection import AutoencoderDetector
    from dae_utils.networks import dense_autoencoder
    from dae_utils.profiles import current_profile
    from dae_utils.results import Results
    from dae_utils.training import fit

_ROOM_OF = {
    "AutoencoderDetector": "detection",
    "Results": "results",
    "current_profile": "profiles",
    "dense_autoencoder": "networks",
    "fit": "training",
    "load_cifar10": "data",
    "load_fashion_mnist": "data",
    "load_heartbeats": "data",
    "load_mnist": "data",
}

__all__ = [
    "AutoencoderDetector",
    "Results",
    "current_profile",
    "dense_autoencoder",
    "fit",
    "load_cifar10",
    "load_fashion_mnist",
    "load_heartbeats",
    "load_mnist",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
