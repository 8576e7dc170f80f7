"""What all detectors have in common: scikit-learn's contract for a novelty detector, kept whole.

A detector learns from normal samples, gives each new sample a score, and sets its threshold on normal samples
that it held out. Nothing here sees a label, and nothing here imports Keras: detectors without a network start
at once.

Signs. `anomaly_score` is high for anomalies, as everywhere in the book. Where scikit-learn has a name for
something, its sign is kept: `score_samples` is minus the anomaly score, `decision_function` is negative for
an alarm, `predict` gives +1 for normal and -1 for an anomaly.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from math import ceil, prod
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Self

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import validate_data

from dae_utils.detection.thresholds import ConformalThreshold
from dae_utils.validation import Samples, check_fraction, check_scores

__all__ = ["AnomalyDetector", "RandomState", "Samples", "flat"]

# What scikit-learn and NumPy say of words, and of numbers that are not finite.
_SIGNS_OF_WORDS = ("could not convert string", "bytes/strings")
_SIGNS_OF_NO_NUMBER = ("contains NaN", "contains infinity")

# So many rows or columns are named in an error.
_MOST_NAMED = 5

# What scikit-learn takes as `random_state`.
RandomState = int | np.random.RandomState | None


def flat(X: NDArray[Any]) -> NDArray[Any]:
    """Return `X`, shape (n, ...), as a matrix of shape (n, values per sample)."""
    return X.reshape(len(X), -1)


class AnomalyDetector(OutlierMixin, BaseEstimator, ABC):
    """Base of all detectors. A subclass writes `_fit` and `_score`; the rest of the contract is here.

    Samples are arrays of any shape with the samples on the first axis (tables, images, windows of signals) or
    DataFrames, and hold any finite numbers.

    `fit` holds out a share of its samples, drawn at random, and sets the threshold on their scores; so `fit`
    and then `predict` works. Hold out nothing (`held_out_share=0`) when you have samples of your own for the
    threshold, and give them to `calibrate`. `sklearn.base.clone` gives an unfitted detector that shares a
    trained network, which no detector changes.

    Args:
        false_alarm_rate: highest acceptable share of normal samples that raise an alarm, between 0 and 1,
            both excluded. See `ConformalThreshold` for what is promised.
        held_out_share: share of the samples of `fit` that set the threshold and teach nothing, from 0 to
            below 1. With 0 all samples are learnt from, and `calibrate` must follow before `predict`.
        random_state: decides which samples are held out, and all else that is random in a detector.

    Attributes:
        threshold_: an anomaly score above it raises an alarm. It is the one of `conformal_`, higher by what a
            score may be off by rounding (a billionth, for a network in float32 four in ten million), so that
            a sample at the threshold gets the same verdict in every batch. That makes no alarm more likely.
        offset_: minus the threshold, as scikit-learn has it.
        conformal_: the `ConformalThreshold` behind them, with its guarantee and p-values.
        sample_shape_: shape of one sample.
        n_features_in_: values in one sample, the product of its shape.
        feature_names_in_: names of the columns, where `fit` was given a DataFrame with names.
    """

    false_alarm_rate: float
    held_out_share: float
    random_state: RandomState

    # How many samples `_fit` needs at least.
    _least_samples: ClassVar[int] = 1

    def __init__(
        self, *, false_alarm_rate: float = 0.05, held_out_share: float = 0.2, random_state: RandomState = 0
    ) -> None:
        self.false_alarm_rate = false_alarm_rate
        self.held_out_share = held_out_share
        self.random_state = random_state

    @abstractmethod
    def _fit(self, X: Samples) -> None:
        """Learn from checked normal samples, shape (n, ...); their shape is in `sample_shape_`."""

    @abstractmethod
    def _score(self, X: Samples) -> NDArray[np.floating[Any]]:
        """Return the anomaly scores of checked samples, shape (n,): finite, higher = more anomalous."""

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn what is normal from normal samples and set the threshold on those of them held out.

        Args:
            X: normal samples, shape (n, ...), any finite numbers; three at least, unless nothing is held out.
                Samples or parameters that are refused leave the detector as it was.
            y: ignored; it is there because scikit-learn passes it.

        Returns:
            The detector itself.

        Warns:
            UserWarning: too few samples were held out for the false-alarm rate.

        Raises:
            ValueError: NaN or infinite values, empty, no axis of samples, or a parameter out of range.
        """
        share = self._checked_share()
        check_fraction(self.false_alarm_rate, "false_alarm_rate")
        X, n_held_out = self._checked_for_fit(X, share)
        # What was learnt before is gone, also when learning anew fails.
        for name in ("threshold_", "offset_", "conformal_", "sample_shape_"):
            self.__dict__.pop(name, None)
        self.sample_shape_: tuple[int, ...] = X.shape[1:]
        try:
            if n_held_out:
                order = check_random_state(self.random_state).permutation(len(X))
                self._fit(X[np.sort(order[n_held_out:])])
                self._set_threshold(X[np.sort(order[:n_held_out])], self.false_alarm_rate)
            else:
                self._fit(X)
        except BaseException:
            del self.sample_shape_
            raise
        return self

    def calibrate(self, X: ArrayLike, false_alarm_rate: float | None = None) -> Self:
        """Replace the threshold by one from these normal samples; see `ConformalThreshold`.

        Args:
            X: normal samples that the detector (and its network) did not learn from, shape (n, ...), n at
                least 1 / false_alarm_rate - 1.
            false_alarm_rate: in place of the constructor's, for this threshold only.

        Returns:
            The detector itself.

        Warns:
            UserWarning: too few samples for the false-alarm rate.

        Raises:
            NotFittedError: before `fit`.
            ValueError: as for `fit`, or samples of another shape than those of `fit`.
        """
        rate = self.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
        check_fraction(rate, "false_alarm_rate")
        self._set_threshold(self._validated_like_fit(X), rate)
        return self

    def anomaly_score(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return one score per sample, shape (n,), higher = more anomalous.

        Raises:
            NotFittedError: before `fit`.
            ValueError: NaN or infinite values, empty, or samples of another shape than those of `fit`.
        """
        return self._checked_scores(self._validated_like_fit(X))

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return minus the anomaly score, shape (n,): higher = more normal, as in scikit-learn."""
        return -self.anomaly_score(X)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return `score_samples` minus `offset_`, shape (n,): negative = alarm.

        Raises:
            NotFittedError: before `fit`, or without a threshold (nothing was held out, and `calibrate` was
                not called).
            ValueError: as for `anomaly_score`.
        """
        scores = self.score_samples(X)
        if not hasattr(self, "offset_"):
            raise NotFittedError(
                f"This {type(self).__name__} has no threshold, since held_out_share is 0; "
                "call calibrate with held-out normal samples first."
            )
        difference: NDArray[np.float64] = scores - self.offset_
        return difference

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return +1 (normal) or -1 (anomaly) for each sample, shape (n,).

        Raises:
            NotFittedError, ValueError: as for `decision_function`.
        """
        return np.where(self.decision_function(X) < 0, -1, 1).astype(np.int64)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the detector, fitted or not and with any network inside, to one file and return its path.

        The file is a pickle (joblib's), as usual for scikit-learn: open it with the versions of the packages
        that wrote it.
        """
        joblib.dump(self, path, compress=3)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a detector that `save` wrote.

        Load only files that you wrote yourself or trust as you trust a program: such a file can hold any code
        and runs it when it is loaded.

        Raises:
            OSError: no such file, or one that cannot be opened.
            ValueError: not a file that `save` wrote, or one that the installed packages cannot read.
            TypeError: the file holds something else than a detector of this class.
        """
        try:
            detector = joblib.load(path)
        except OSError:
            raise
        except Exception as error:  # whatever bytes that are no pickle make it stumble over
            raise ValueError(
                f"{path} cannot be read as a detector ({type(error).__name__}: {error}); give a file that "
                "save wrote, and open it with the versions of the packages that wrote it."
            ) from error
        if not isinstance(detector, cls):
            raise TypeError(f"{path} holds a {type(detector).__name__}, not a {cls.__name__}.")
        return detector

    def _rounding(self) -> float:
        """Return by what part of itself a score may change with the batch that its sample is in."""
        return 1e-9

    def _set_threshold(self, X: Samples, false_alarm_rate: float) -> None:
        scores = self._checked_scores(X)
        self.conformal_ = ConformalThreshold(false_alarm_rate).fit(scores)
        exact = self.conformal_.threshold_
        self.threshold_ = exact + self._rounding() * max(abs(exact), float(np.median(np.abs(scores))))
        self.offset_ = -self.threshold_

    def _checked_scores(self, X: Samples) -> NDArray[np.float64]:
        scores = check_scores(self._score(X), "the detector's scores")
        if len(scores) != len(X):
            # Silence would give the scores to the wrong samples.
            raise ValueError(
                f"{type(self).__name__} has {len(scores)} scores for {len(X)} samples; its network, encoder "
                "or _score must return one result per sample, in their order."
            )
        return scores

    def _checked_share(self) -> float:
        share = self.held_out_share
        if isinstance(share, Real) and not isinstance(share, (bool, np.bool_)) and share == 0:
            return 0.0
        try:
            return check_fraction(share, "held_out_share")
        except ValueError:
            raise ValueError(
                f"held_out_share must be from 0 (hold nothing out) to below 1, not {share!r}."
            ) from None

    def _checked_for_fit(self, X: ArrayLike, share: float) -> tuple[Samples, int]:
        """Return checked samples and how many of them to hold out; what is refused changes nothing."""
        names = ("n_features_in_", "feature_names_in_")
        before = {name: self.__dict__[name] for name in names if name in self.__dict__}
        try:
            X = self._validated(X, reset=True, least=3 if share else self._least_samples)
            n_held_out = ceil(share * len(X))
            if share and len(X) - n_held_out < 2:
                raise ValueError(
                    f"held_out_share={share:g} leaves {len(X) - n_held_out} of {len(X)} samples to learn "
                    "from; lower it or give more samples."
                )
        except BaseException:
            # scikit-learn notes the columns while it checks, and so before it refuses.
            for name in names:
                self.__dict__.pop(name, None)
            self.__dict__.update(before)
            raise
        return X, n_held_out

    def _validated_like_fit(self, X: ArrayLike) -> Samples:
        """Return checked samples of the shape that `fit` has seen."""
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                f"This {type(self).__name__} is not fitted; call fit with normal samples first."
            )
        shape = np.shape(X) if isinstance(X, (list, tuple)) else getattr(X, "shape", ())
        if len(shape) > 1 and tuple(shape) == self.sample_shape_:
            raise ValueError(
                f"X has shape {tuple(shape)}, which is that of one sample and not (n, ...): "
                "a single sample? use X[np.newaxis]."
            )
        X = self._validated(X, reset=False)
        if X.shape[1:] != self.sample_shape_:
            raise ValueError(
                f"X holds samples of shape {X.shape[1:]}, but {type(self).__name__} was fitted with samples "
                f"of shape {self.sample_shape_}; reshape them."
            )
        return X

    def _validated(self, X: ArrayLike, reset: bool, least: int = 1) -> Samples:
        """Return `X` as finite floating-point samples, after scikit-learn's own checks.

        Small whole numbers (bytes, say) become float32, which holds them exactly; larger ones float64.
        """
        is_whole = isinstance(X, np.ndarray) and X.dtype.kind in "biu"
        wanted = [np.result_type(X, np.float32)] if is_whole else [np.float64, np.float32]
        settings = {"dtype": wanted, "ensure_min_samples": least}
        try:
            return self._checked(X, reset, settings)
        except ValueError as error:
            if any(sign in str(error) for sign in _SIGNS_OF_NO_NUMBER):
                problem = _not_finite(X)
                if problem:
                    raise ValueError(problem) from None
            if _n_axes(X) == 2 and any(sign in str(error) for sign in _SIGNS_OF_WORDS):
                raise ValueError(
                    f"{error}\nA table with words or empty fields becomes numbers with "
                    "dae_utils.data.own.TableEncoder."
                ) from error
            raise

    def _checked(self, X: ArrayLike, reset: bool, settings: dict[str, Any]) -> Samples:
        checked: Samples
        if _n_axes(X) > 2:  # scikit-learn counts the features of a matrix only
            checked = check_array(X, allow_nd=True, input_name="X", estimator=self, **settings)
            if 0 in checked.shape:
                raise ValueError(f"X has shape {checked.shape}, so its samples hold no values.")
            if reset:
                self.n_features_in_ = prod(checked.shape[1:])
                self.__dict__.pop("feature_names_in_", None)
        else:
            checked = validate_data(self, X, reset=reset, **settings)
        return checked

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "sample_shape_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __sklearn_clone__(self) -> Self:
        # Networks (and functions) are shared, not copied: they are trained already and no detector changes
        # them.
        parameters = self.get_params(deep=False)
        return type(self)(
            **{name: p if callable(p) else clone(p, safe=False) for name, p in parameters.items()}
        )


def _n_axes(X: ArrayLike) -> int:
    n_axes: int = np.ndim(X) if isinstance(X, (list, tuple)) else getattr(X, "ndim", 2)
    return n_axes


def _not_finite(X: Any) -> str:
    """Return one line that says where samples hold NaN or infinite values; nothing if that cannot be told."""
    try:
        if hasattr(X, "columns"):
            values = X.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        return ""
    bad = ~np.isfinite(values)
    if not bad.any():
        return ""
    is_table = values.ndim == 2
    kinds = [name for name, found in (("NaN", np.isnan), ("infinity", np.isinf)) if found(values).any()]
    rows = np.flatnonzero(bad.reshape(len(values), -1).any(axis=1))
    where = f"{'rows' if is_table else 'samples'} {_named(rows)} of {len(values)}, counted from 0"
    if is_table:
        columns = np.flatnonzero(bad.any(axis=0))
        where += f" (columns {_named(getattr(X, 'columns', np.arange(values.shape[1]))[columns])})"
    way_out = "remove or repair them"
    if is_table and kinds == ["NaN"]:
        way_out += ", or have empty fields filled by dae_utils.data.own.TableEncoder"
    return f"Input X contains {' and '.join(kinds)} in {where}; {way_out}."


def _named(items: Any) -> str:
    """Return the first few of some rows or columns, and how many more there are."""
    named = ", ".join(str(item) for item in items[:_MOST_NAMED])
    more = len(items) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named
