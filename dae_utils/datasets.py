"""The old path of `dae_utils.data.images`, for notebooks that are not rewritten yet."""

from dae_utils.data.images import (
    load_cifar10,
    load_fashion_mnist,
    load_mnist,
)

__all__ = [
    "load_cifar10",
    "load_fashion_mnist",
    "load_mnist",
]
