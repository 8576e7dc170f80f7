"""What a training recorded. Nothing here trains."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["History"]


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
