"""Compiled trainers kept for the next training of the same structure; nothing here compiles.

A trainer is taken out of the cache and given back after the training, so that nobody else has it in between.
Whoever finds none makes another one: nobody waits.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from dae_utils.training.engine.compiled_trainer import CompiledTrainer
from dae_utils.training.trainer import Loss

__all__ = ["Key", "clear", "give_back", "is_refused", "refuse", "take"]


class Key(NamedTuple):
    """What two trainings have in common that the same compiled trainer can do."""

    structure: Hashable
    loss: Loss
    form: str
    batch_size: int


# Those used last come last.
_idle: OrderedDict[Key, list[CompiledTrainer]] = OrderedDict()
_refused: set[Key] = set()
_lock = threading.Lock()
_MOST_KEYS = 16


def take(key: Key) -> CompiledTrainer | None:
    """Return a trainer that nobody uses, which is the caller's until it gives it back, or None."""
    with _lock:
        idle = _idle.get(key)
        return idle.pop() if idle else None


def give_back(key: Key, trainer: CompiledTrainer) -> None:
    """Keep a trainer for the next one who asks; structures that were trained longest ago are forgotten."""
    with _lock:
        _idle.setdefault(key, []).append(trainer)
        _idle.move_to_end(key)
        while len(_idle) > _MOST_KEYS:
            _idle.popitem(last=False)


def refuse(key: Key) -> None:
    """Remember that the engine computes something else than Keras for this key."""
    with _lock:
        _refused.add(key)


def is_refused(key: Key) -> bool:
    """Return whether the engine is known not to agree with Keras for this key."""
    with _lock:
        return key in _refused


def clear() -> None:
    """Forget all trainers and refusals, which gives their memory back."""
    with _lock:
        _idle.clear()
        _refused.clear()
