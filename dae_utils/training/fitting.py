"""One function that trains a Keras model, on arrays in memory or on disk.

`fit` does what ``model.fit`` does: the same batches, the same gradients, the same optimiser (Adam: Kingma and
Ba 2015, "Adam: a method for stochastic optimization", arXiv:1412.6980). It is faster on a CPU because a small
network spends most of ``model.fit`` outside arithmetic: in the Python loop, in the input pipeline and in
launching hundreds of small operations a batch. Here the steps are one compiled loop, of the model itself for
dense networks and of its faster twin for convolutional ones (see `trainers` and `twins`). Compiling takes a
second or two and some memory for good, so models of the same structure share what was compiled for the first
of them.

By default it also needs fewer epochs: small batches, and a learning rate that rises and falls once. Both were
chosen by the loss on held-out training images; the page about speed has the measurements.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
from tqdm.auto import tqdm

from dae_utils.profiles import show_progress
from dae_utils.training.batches import is_on_disk
from dae_utils.training.engine.trainers import LoopTrainer, Loss, TwinTrainer, trainer_for

__all__ = ["History", "fit", "learning_rates"]

Corruption = Callable[[np.random.Generator, np.ndarray], np.ndarray]


@dataclass
class History:
    """What one call of `fit` recorded, one entry an epoch.

    Attributes:
        loss: mean training loss over the samples of the epoch, each measured when its batch came up (the
            weights change during the epoch), without the penalties that layers add (regularisers).
        validation_loss: mean loss over the validation data after the epoch, likewise without penalties; empty
            when there were none.
        seconds: wall-clock time of the epoch, validation included; the first one includes the compilation.
        best_epoch: index of the epoch whose weights the model now has.
        stopped_early: whether `patience` ended the training before its last epoch.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int = -1
    stopped_early: bool = False


def learning_rates(n_steps: int, peak: float, schedule: str = "constant") -> np.ndarray:
    """Return the learning rate of every step.

    Args:
        n_steps: number of optimiser steps in the whole training, at least 1.
        peak: the highest learning rate.
        schedule: ``"constant"``, or ``"one_cycle"``: a linear rise from a tenth of `peak` over the first
            tenth of the steps (one step at least), then half a cosine down to a hundredth of it (after Smith
            and Topin 2019, "Super-convergence", arXiv:1708.07120, with the cosine descent in common use).

    Returns:
        Array (n_steps,) of float32.

    Raises:
        ValueError: `n_steps` or `peak` is not positive, or the schedule is unknown.
    """
    if n_steps < 1 or not peak > 0:
        raise ValueError(f"n_steps and peak must be positive, got {n_steps} and {peak}.")
    if schedule == "constant":
        return np.full(n_steps, peak, np.float32)
    if schedule != "one_cycle":
        raise ValueError(f"unknown schedule {schedule!r}: use 'constant' or 'one_cycle'.")
    n_rise = max(1, n_steps // 10)
    rise = np.linspace(0.1, 1.0, n_rise, endpoint=False)
    progress = np.linspace(0.0, 1.0, n_steps - n_rise)  # empty if there is one step only
    descent = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * progress))
    return (peak * np.concatenate([rise, descent])).astype(np.float32)


def fit(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray | None = None,
    *,
    validation_data: np.ndarray | tuple[np.ndarray, np.ndarray] | None = None,
    epochs: int,
    batch_size: int = 32,
    learning_rate: float = 5e-3,
    schedule: str = "one_cycle",
    loss: Loss = "mean_squared_error",
    corrupt: Corruption | None = None,
    patience: int | None = None,
    seed: int = 0,
    jit_compile: bool | None = None,
    description: str = "training",
) -> History:
    """Train a Keras model with Adam and return what happened.

    Layers that behave differently in training (`GaussianNoise`, `Dropout`, `BatchNormalization`) do so here
    as well, and penalties that layers add (regularisers, ``add_loss``) are minimised along with the loss.
    To train on noisy inputs, pass `corrupt` and leave `GaussianNoise` out of the model: XLA draws random
    numbers slowly on a CPU, where that layer made training 6 to 30 times slower in our measurements.

    With equal weights at the start and equal seeds the result is the same again on the same machine. Random
    layers draw from generators of their own, which `keras.utils.set_random_seed` seeds before the model is
    built.

    Args:
        model: any Keras model with one input and one output; its weights are changed in place.
        x: inputs, shape (n, ...), finite numbers; bytes are refused, since images belong in [0, 1]. A memory
            map, ``numpy.load(path, mmap_mode="r")``, is read a piece of 48 MiB at a time and need not fit in
            memory.
        y: targets, shape (n, ...). Without them the model is trained to return its input: an autoencoder.
        validation_data: inputs, or a tuple (inputs, targets), whose loss is measured after every epoch. They
            are never corrupted.
        epochs: how often every sample is seen.
        batch_size: samples a step; the last batch of an epoch is smaller where they do not divide evenly.
        learning_rate: the peak of the schedule, or Adam's step size throughout where that is constant.
        schedule: "one_cycle", or "constant" as ``model.fit`` has it with Adam; see `learning_rates`.
        loss: a Keras loss by name, or a function of (targets, outputs).
        corrupt: a function of (random generator, `x`), called once an epoch, whose result the network sees in
            place of `x`; the targets stay clean. It returns a new array of the shape of `x`, and gets an `x`
            that cannot be written to. For an `x` on disk it is called for every piece instead. This is
            denoising training (Vincent et al. 2008, "Extracting and composing robust features with denoising
            autoencoders").
        patience: stop when the validation loss has not improved for so many epochs, and take back the weights
            of the best epoch. Without it the last weights are kept. In a one-cycle schedule most of the gain
            comes at the end, so that patience ends few such trainings; they get the best weights all the
            same.
        seed: decides the order of the samples and what `corrupt` draws from its generator.
        jit_compile: train the model itself, in a loop compiled with XLA (True) or without (False). By
            default a convolutional model is trained as its faster twin where it has one and the training
            takes 100 steps or more; other models get XLA, which makes each step of a dense network faster but
            needs a second and some memory to compile, from 2000 steps on.
        description: the label of the progress bar.

    Returns:
        The `History`, one entry an epoch.

    Raises:
        ValueError: empty, non-finite or mismatched arrays, or a setting out of range.
        FloatingPointError: the training or validation loss became infinite or NaN.
    """
    x, y = _checked_pair(x, y, "x", "y")
    validation = None
    if validation_data is not None:
        pair = validation_data if isinstance(validation_data, tuple) else (validation_data, None)
        validation = _checked_pair(*pair, "x of validation_data", "y of validation_data")
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"epochs and batch_size must be at least 1, got {epochs} and {batch_size}.")
    if patience is not None and (patience < 1 or validation is None):
        raise ValueError("patience needs validation data and must be at least 1.")

    if not model.built:
        model(x[:1])
    batch_size = min(batch_size, len(x))
    n_steps = math.ceil(len(x) / batch_size)
    rates = learning_rates(epochs * n_steps, learning_rate, schedule).reshape(epochs, n_steps)
    trainer = trainer_for(model, loss, jit_compile, epochs * n_steps)
    held = _held(trainer, (x, y))
    held_out = [_held(trainer, pair) for pair in _slices(validation)] if validation else []

    rng = np.random.default_rng(seed)
    history = History()
    best_loss, best_weights = math.inf, None
    bar = tqdm(total=epochs, desc=description, unit="epoch", disable=not show_progress(), leave=False)
    with bar, trainer.training(model) as twin:
        for epoch in range(epochs):
            started = time.perf_counter()
            order = rng.permutation(len(x)).astype(np.int32)
            change = None
            if corrupt is not None and is_on_disk(x):
                change = functools.partial(_corrupted, corrupt, rng)
            elif corrupt is not None:
                held = (trainer.hold(_corrupted(corrupt, rng, x)), held[1])
            history.loss.append(_train_epoch(trainer, held, order, rates[epoch], batch_size, change))
            newest = history.loss[-1]
            if held_out and math.isfinite(newest):
                newest = _mean_loss(trainer, held_out, batch_size)
                history.validation_loss.append(newest)
            if not math.isfinite(newest):
                raise FloatingPointError(
                    f"the loss is {newest} in epoch {epoch + 1}: lower learning_rate (now {learning_rate})."
                )
            history.seconds.append(time.perf_counter() - started)
            bar.update()
            bar.set_postfix(loss=f"{newest:.5f}")
            if patience is None:
                history.best_epoch = epoch
            elif history.validation_loss[-1] < best_loss:
                best_loss, history.best_epoch = history.validation_loss[-1], epoch
                best_weights = twin.get_weights()
            elif epoch - history.best_epoch >= patience:
                history.stopped_early = True
                break
        if best_weights is not None:
            twin.set_weights(best_weights)
    return history


def _checked_pair(x, y, x_name: str, y_name: str) -> tuple[np.ndarray, np.ndarray]:
    pair = []
    for array, name in ((x, x_name), (x if y is None else y, y_name)):
        array = array if is_on_disk(array) else np.asarray(array)
        if array.dtype.kind not in "fiub" or array.ndim < 2 or array.size == 0:
            raise ValueError(
                f"{name} must be numbers of shape (n, ...) with n > 0, got {array.dtype} {array.shape}."
            )
        if array.dtype == np.uint8:
            raise ValueError(f"{name} holds bytes (0 to 255): divide by 255 to bring it to [0, 1] first.")
        if is_on_disk(array):
            pair.append(array)  # what is read of it is looked at when it is read
            continue
        with np.errstate(over="ignore"):  # too large for 32 bits becomes infinite, which is refused next
            array = array.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinite values: remove or replace them before training.")
        pair.append(array)
    if y is None:
        pair[1] = pair[0]
    if len(pair[0]) != len(pair[1]):
        raise ValueError(f"{x_name} has {len(pair[0])} samples, but {y_name} has {len(pair[1])}.")
    return pair[0], pair[1]


def _corrupted(corrupt: Corruption, rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    # A function that corrupted in place would also corrupt the caller's data, more so with every epoch.
    protected = x.view()
    protected.flags.writeable = False
    corrupted = np.asarray(corrupt(rng, protected), np.float32)
    if corrupted.shape != x.shape:
        raise ValueError(f"corrupt must return an array of shape {x.shape}, got {corrupted.shape}.")
    if not np.isfinite(corrupted).all():
        raise ValueError("corrupt returned NaN or infinite values: replace them, with 0 for instance.")
    return corrupted


def _slices(arrays: tuple[np.ndarray, np.ndarray], size: int = 5000) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the arrays in slices of `size` samples, so that the memory of a pass is bounded."""
    slices = []
    for start in range(0, len(arrays[0]), size):
        inputs = arrays[0][start : start + size]
        slices.append((inputs, inputs if arrays[0] is arrays[1] else arrays[1][start : start + size]))
    return slices


def _held(trainer: LoopTrainer | TwinTrainer, arrays: tuple[np.ndarray, np.ndarray]) -> tuple:
    """Return arrays as the trainer likes to hold them; where one is on disk, none is held in another form."""
    inputs, targets = arrays
    if is_on_disk(inputs) or is_on_disk(targets):
        return arrays
    held = trainer.hold(inputs)
    return held, held if inputs is targets else trainer.hold(targets)


def _train_epoch(
    trainer, held: tuple, order: np.ndarray, rates: np.ndarray, batch_size: int, change
) -> float:
    """Train on all samples in an order and return their mean loss; `change` is applied to the inputs."""
    summed, n_done = 0.0, 0
    for (inputs, targets), places in trainer.pieces(held, order, batch_size):
        seen = inputs if change is None else change(inputs)
        n_steps = math.ceil(len(places) / batch_size)
        summed += trainer.steps(seen, targets, places, rates[n_done : n_done + n_steps], batch_size)
        n_done += n_steps
    return summed / len(order)


def _mean_loss(trainer, held_out: list[tuple], batch_size: int) -> float:
    """Return the mean loss over slices of samples, without training."""
    summed, n_samples = 0.0, 0
    for held in held_out:
        order = np.arange(len(held[0]), dtype=np.int32)
        for piece, _ in trainer.pieces(held, order, batch_size):
            summed += trainer.loss(*piece, batch_size)
        n_samples += len(order)
    return summed / n_samples
