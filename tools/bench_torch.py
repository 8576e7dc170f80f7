"""The networks of `tools.bench` in PyTorch, in the fastest form that needs no compiler: eager, channels last.

Run with a Python that has PyTorch and NumPy; it reads commands line by line, see `tools.bench`.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time

import numpy as np
import torch
from torch import nn


def dense(*sizes: int) -> nn.Module:
    """Return dense layers with rectifiers between and a sigmoid at the end."""
    parts = []
    for n_in, n_out in itertools.pairwise(sizes):
        parts += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*parts[:-1], nn.Sigmoid())


def convolutional(before: tuple[int, ...], after: tuple[int, ...]) -> nn.Module:
    """Return the convolutional autoencoder of the same layers as in Keras."""
    parts, channels = [], 3
    for filters in before:
        parts += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = filters
    for filters in after:
        parts += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2)]
        channels = filters
    return nn.Sequential(*parts, nn.Conv2d(channels, 3, 3, padding=1), nn.Sigmoid())


NETWORKS = {
    "mnist_dense": lambda: dense(784, 64, 784),
    "fashion_mnist_deep": lambda: dense(784, 128, 64, 32, 64, 128, 784),
    "mitbih_dense": lambda: dense(187, 64, 32, 64, 187),
    "cifar10_conv": lambda: convolutional((32, 16, 8), (8, 16, 32)),
    "cifar10_pixel": lambda: convolutional((32, 16), (16, 32)),
}


def main(name: str, path: str, loss: str, batch_size: int) -> None:
    """Answer every line "epoch" with the seconds that an epoch took and the peak memory so far."""
    torch.manual_seed(0)
    x = torch.from_numpy(np.load(path))
    model = NETWORKS[name]()
    if x.ndim == 4:
        x = x.permute(0, 3, 1, 2)  # stays in memory as it is: channels last
        model = model.to(memory_format=torch.channels_last)
    loss_function = getattr(
        nn.functional, {"binary_crossentropy": "binary_cross_entropy"}.get(loss, "mse_loss")
    )
    optimizer = torch.optim.Adam(model.parameters())

    def train(n_batches: int) -> None:
        order = torch.randperm(len(x))
        for start in range(0, min(len(x), n_batches * batch_size), batch_size):
            batch = x[order[start : start + batch_size]]
            optimizer.zero_grad()
            loss_function(model(batch), batch).backward()
            optimizer.step()

    train(10)
    print(json.dumps({"ready": torch.__version__}), flush=True)
    for line in sys.stdin:
        if line.strip() != "epoch":
            break
        started = time.perf_counter()
        train(len(x))
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )
        print(json.dumps({"seconds": seconds, "memory_mb": memory}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
