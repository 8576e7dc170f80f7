"""An estimate with its confidence interval: the form in which every measured number of the book is passed on.

How an interval is found is the business of `resampling`, `comparisons` and `rates`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "ProblemsInterval"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; prints as "0.975 [0.972, 0.978]".

    A format code applies to all three numbers: f"{interval:.1%}" gives "97.5% [97.2%, 97.8%]".
    """

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __str__(self) -> str:
        return format(self)


@dataclass(frozen=True)
class ProblemsInterval(Interval):
    """The mean of a metric over problems and seeds; see `bootstrap_problems`.

    Attributes:
        per_problem: the metric itself, shape (n_problems, n_seeds).
        seed_spread: standard deviation over seeds of the mean over problems; None with one seed.
        resampled: the mean in each resample, shape (n_resamples,). Two calls with the same labels and seed
            draw the same samples, so the differences of their `resampled` give a paired interval for the
            difference of two methods.
    """

    per_problem: NDArray[np.float64] = field(compare=False, repr=False)
    seed_spread: float | None
    resampled: NDArray[np.float64] = field(compare=False, repr=False)
