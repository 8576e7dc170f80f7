"""One function that trains a Keras model, on arrays in memory or on disk.

`fit` does what ``model.fit`` does: the same batches, the same gradients, the same optimiser (Adam: Kingma and
Ba 2015, "Adam: a method for stochastic optimization", arXiv:1412.6980). What it adds: a schedule of the
learning rate by step, corruption of the inputs anew in every epoch, arrays on disk, and the best weights
back. It works on every backend of Keras; with TensorFlow on a processor the steps are taken by a faster
`engine`, with the same result up to rounding.

By default it also needs fewer epochs: small batches, and a learning rate that rises and falls once. Both were
chosen by the loss on held-out training images; the page about speed has the measurements.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from dae_utils.networks.inner import check_model
from dae_utils.profiles import show_progress
from dae_utils.training.batches import FloatArray, TrainingPairs, is_on_disk
from dae_utils.training.checks import (
    check_network,
    check_pairs,
    check_settings,
    check_validation_data,
)
from dae_utils.training.engine import engine_for
from dae_utils.training.history import History
from dae_utils.training.plain import PlainTrainer
from dae_utils.training.schedules import learning_rates
from dae_utils.training.trainer import Loss, Trainer

__all__ = ["fit"]

Corruption = Callable[[np.random.Generator, FloatArray], ArrayLike]


def fit(
    model: keras.Model,
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    validation_data: ArrayLike | tuple[ArrayLike, ArrayLike | None] | None = None,
    epochs: int,
    batch_size: int = 32,
    learning_rate: float = 5e-3,
    schedule: str = "one_cycle",
    loss: Loss = "mean_squared_error",
    corrupt: Corruption | None = None,
    patience: int | None = None,
    seed: int = 0,
    description: str = "training",
) -> History:
    """Train a Keras model with Adam and return what happened.

    Layers that behave differently in training (`GaussianNoise`, `Dropout`, `BatchNormalization`) do so here
    as well, and penalties that layers add (regularisers, ``add_loss``) are minimised along with the loss.
    To train on noisy inputs, pass `corrupt` rather than a `GaussianNoise` layer: a network that draws random
    numbers in every step trains more slowly.

    With equal weights at the start and equal seeds the result is the same again on the same machine, also
    when several trainings run in threads of one process. No generator but the model's own is drawn from.
    Random layers draw from generators of their own, which `keras.utils.set_random_seed` seeds before the
    model is built.

    ``model.compile`` is not needed and not touched: ``model.optimizer`` is after the call what it was before.

    Args:
        model: any Keras model with one input and one output; its weights are changed in place. After an
            interruption they are what was learnt until then.
        x: inputs, shape (n, ...), finite numbers; integers above 1 (on disk, bytes) are refused where a
            sample has several, since images belong in [0, 1]. A memory map,
            ``numpy.load(path, mmap_mode="r")``, is read a piece of 48 MiB at a time and need not fit in
            memory.
        y: targets, shape (n, ...), in [0, 1] where the network ends in a sigmoid. Without them the model is
            trained to return its input: an autoencoder.
        validation_data: inputs as one array, or a tuple (inputs, targets), whose loss is measured after every
            epoch. They are never corrupted.
        epochs: how often every sample is seen, at least 1.
        batch_size: samples a step, at least 1; the last batch of an epoch is smaller where they do not divide
            evenly.
        learning_rate: the peak of the schedule, or Adam's step size throughout where that is constant.
        schedule: "one_cycle", or "constant" as ``model.fit`` has it with Adam; see `learning_rates`.
        loss: a Keras loss by name, or a function of (targets, outputs).
        corrupt: a function of (random generator, `x`), called once an epoch, whose result the network sees in
            place of `x`; the targets stay clean. It returns an array of the shape of `x`, a new one or its
            own of the last epoch overwritten, and gets an `x` that cannot be written to. For an `x` on disk
            it is called for every piece instead. This is denoising training (Vincent et al. 2008, "Extracting
            and composing robust features with denoising autoencoders").
        patience: stop when the validation loss has not improved for so many epochs, and take back the weights
            of the best epoch. Without it the last weights are kept. In a one-cycle schedule most of the gain
            comes at the end, so that patience ends few such trainings; they get the best weights all the
            same.
        seed: a whole number, at least 0; decides the order of the samples and what `corrupt` draws from its
            generator.
        description: the label of the progress bar.

    Returns:
        The `History`, one entry an epoch.

    Raises:
        ValueError: empty, non-finite or mismatched arrays, arrays that do not fit the network, or a setting
            out of range.
        TypeError: `model` is no Keras model, such as a detector, which trains a network by itself.
        FloatingPointError: the training or validation loss became infinite or NaN. With `patience` the model
            then has the weights of its best epoch, if there was one before; otherwise those with which the
            loss was lost, which are of no use.
    """
    check_model(model)
    check_settings(epochs, batch_size, learning_rate, patience, seed, validation_data is not None, corrupt)
    samples = [check_pairs(x, y, "x", "y")]
    if validation_data is not None:
        samples.append(check_validation_data(validation_data))
    batch_size = min(batch_size, len(samples[0]))
    n_steps = epochs * math.ceil(len(samples[0]) / batch_size)
    rates = learning_rates(n_steps, learning_rate, schedule)
    samples = check_network(model, loss, *samples)

    run = functools.partial(
        _train,
        samples=samples[0],
        held_out=samples[1] if len(samples) > 1 else None,
        epochs=epochs,
        corrupt=corrupt,
        patience=patience,
        seed=seed,
        description=description,
        way_out=f"lower learning_rate (now {learning_rate})",
    )
    function = keras.losses.get(loss)
    with engine_for(model, loss, _as_seen(samples[0], corrupt), rates, batch_size) as engine:
        return run(engine or PlainTrainer(model, function, rates, batch_size))


def _as_seen(samples: TrainingPairs, corrupt: Corruption | None) -> TrainingPairs:
    """Return samples as a training sees them: corrupted inputs are another array than the targets."""
    if corrupt is None:
        return samples
    return TrainingPairs(samples.inputs[:], samples.targets, samples.targets_in_unit_range, samples.name)


def _train(
    trainer: Trainer,
    samples: TrainingPairs,
    held_out: TrainingPairs | None,
    epochs: int,
    corrupt: Corruption | None,
    patience: int | None,
    seed: int,
    description: str,
    way_out: str,
) -> History:
    """Train epoch by epoch, see `fit`."""
    rng = np.random.default_rng(seed)
    history, best = History(), _Best(patience)
    bar = tqdm(total=epochs, desc=description, unit="epoch", disable=not show_progress(), leave=False)
    with bar:
        for epoch in range(epochs):
            started = time.perf_counter()
            history.loss.append(_train_epoch(trainer, samples, corrupt, rng))
            newest = history.loss[-1]
            if held_out is not None and math.isfinite(newest):
                newest = trainer.mean_loss(held_out)
                history.validation_loss.append(newest)
            if not math.isfinite(newest):
                best.take_back(trainer)
                raise FloatingPointError(f"the loss is {newest} in epoch {epoch + 1}: {way_out}.")
            history.seconds.append(time.perf_counter() - started)
            bar.update()
            bar.set_postfix(loss=f"{newest:.5f}")
            if best.ends_training(epoch, history, trainer):
                break
    best.take_back(trainer)
    return history


def _train_epoch(
    trainer: Trainer, samples: TrainingPairs, corrupt: Corruption | None, rng: np.random.Generator
) -> float:
    """Train on all samples in a new order, corrupted anew, and return their mean loss."""
    order = rng.permutation(len(samples)).astype(np.int32)
    if corrupt is None:
        return trainer.train_epoch(samples, order, None)
    change = functools.partial(_corrupted, corrupt, rng)
    if is_on_disk(samples.inputs):
        return trainer.train_epoch(samples, order, change)
    return trainer.train_epoch(TrainingPairs(change(samples.inputs), samples.targets), order, None)


def _corrupted(corrupt: Corruption, rng: np.random.Generator, x: FloatArray) -> FloatArray:
    # A function that corrupted in place would also corrupt the caller's data, more so with every epoch.
    protected = x.view()
    protected.flags.writeable = False
    corrupted = np.asarray(corrupt(rng, protected), np.float32)
    if corrupted.shape != x.shape:
        raise ValueError(f"corrupt must return an array of shape {x.shape}, got {corrupted.shape}.")
    if not np.isfinite(corrupted).all():
        raise ValueError("corrupt returned NaN or infinite values: replace them, with 0 for instance.")
    # An object of its own, since a trainer takes an array that it has seen before for what it was then, and a
    # function that fills the same array in every epoch returns other numbers in it.
    return corrupted.view()


class _Best:
    """The weights of the best epoch, for a training with patience."""

    def __init__(self, patience: int | None):
        self._patience = patience
        self._loss = math.inf
        self._weights: list[FloatArray] | None = None

    def ends_training(self, epoch: int, history: History, trainer: Trainer) -> bool:
        """Note an epoch, and return whether the training is to end with it."""
        if self._patience is None:
            history.best_epoch = epoch
        elif history.validation_loss[-1] < self._loss:
            self._loss, history.best_epoch = history.validation_loss[-1], epoch
            self._weights = trainer.get_weights()
        elif epoch - history.best_epoch >= self._patience:
            history.stopped_early = True
        return history.stopped_early

    def take_back(self, trainer: Trainer) -> None:
        """Give the trainer the best weights, if any were noted."""
        if self._weights is not None:
            trainer.set_weights(self._weights)
