"""Scores: one number per sample, higher = more anomalous, and thresholds with a guarantee.

Nothing here sees a label. Detectors learn from normal samples, give each new sample an anomaly score, and set
their threshold on held-out normal samples for a false-alarm rate that the reader chooses.

Sign convention, the same in the whole book: `anomaly_score` is high for anomalies. Where scikit-learn has a
name for something, scikit-learn's sign is kept: `score_samples` is minus the anomaly score, `predict` gives
+1 for normal and -1 for an anomaly, `decision_function` is negative for anomalies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import ceil, prod
from typing import Self

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr
from scipy.stats import betabinom
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from dae_utils.validation import (
    check_choice,
    check_count,
    check_flags,
    check_fraction,
    check_same_shape,
    check_samples,
    check_scores,
    check_unit_interval,
)

Model = keras.Model | Callable[[NDArray], ArrayLike]

# Keras keeps probabilities this far from 0 and 1 before it takes their logarithm.
_KERAS_EPSILON = 1e-7

# Layers that rescale what the layer before them computed; they belong to that layer's stage of the encoder.
_RESCALING_LAYERS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
)


def _flat(x: NDArray) -> NDArray:
    """Return `x`, shape (n, ...), as a matrix of shape (n, values per sample)."""
    return x.reshape(len(x), -1)


# ------------------------------------------------------------------------------------------------------------
# Reconstruction error


def reconstruction_error(
    x: ArrayLike, reconstruction: ArrayLike, mask: ArrayLike | None = None, kind: str = "squared"
) -> NDArray[np.float64]:
    """Return the mean error of each sample's reconstruction.

    Args:
        x: the samples, shape (n, ...), floating point.
        reconstruction: what the autoencoder made of them, same shape.
        mask: which values count (1 or True) and which do not (0 or False), shape of `x` or one that
            broadcasts to it: for zero-padded signals, the part that was recorded. None counts every value.
        kind: "squared" or "absolute" differences.

    Returns:
        Shape (n,), at least 0, in the units of `x` (squared for "squared").

    Raises:
        ValueError: shapes that differ, NaN or infinite values, whole numbers up to 255, or a sample in which
            the mask leaves nothing to count.
    """
    check_choice(kind, "kind", ("squared", "absolute"))
    x = check_samples(x)
    reconstruction = check_samples(reconstruction, "reconstruction")
    check_same_shape(x, reconstruction, "x", "reconstruction")
    error = x - reconstruction
    error = np.square(error, out=error) if kind == "squared" else np.abs(error, out=error)
    error = _flat(error)
    if mask is None:
        return error.mean(axis=1, dtype=np.float64)

    counts = _flat(_check_mask(mask, x.shape))
    counted = counts.sum(axis=1)
    if not counted.all():
        empty = np.flatnonzero(counted == 0)
        raise ValueError(
            f"mask leaves nothing to count in {len(empty)} samples (the first is number {empty[0]}); "
            "leave those samples out or correct their mask."
        )
    return error.sum(axis=1, where=counts, dtype=np.float64) / counted


def _check_mask(mask: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return `mask` as booleans of the given shape."""
    mask = np.asarray(mask)
    flags = check_flags(mask.ravel(), "mask").reshape(mask.shape)
    try:
        return np.broadcast_to(flags, shape)
    except ValueError:
        raise ValueError(
            f"mask has shape {mask.shape}, which does not fit x of shape {shape}; give it the shape of x."
        ) from None


def binary_cross_entropy(x: ArrayLike, reconstruction: ArrayLike) -> NDArray[np.float64]:
    """Return the mean binary cross-entropy of each sample, as Keras computes it.

    Args:
        x: the samples, shape (n, ...), values in [0, 1].
        reconstruction: same shape, values in [0, 1]; they are kept 1e-7 away from 0 and 1, as in Keras.

    Returns:
        Shape (n,), in nats per value. A perfect copy does not reach 0 unless every value is 0 or 1: see
        `cross_entropy_floor`.

    Raises:
        ValueError: shapes that differ, values outside [0, 1], NaN.
    """
    x = check_samples(x).astype(np.float32, copy=False)
    reconstruction = check_samples(reconstruction, "reconstruction").astype(np.float32, copy=False)
    check_same_shape(x, reconstruction, "x", "reconstruction")
    check_unit_interval(x, "x")
    check_unit_interval(reconstruction, "reconstruction")
    # float32 on purpose: what a saturated pixel costs depends on the precision of 1 - 1e-7.
    probability = np.clip(reconstruction, np.float32(_KERAS_EPSILON), np.float32(1 - _KERAS_EPSILON))
    loss = -(x * np.log(probability) + (1 - x) * np.log(1 - probability))
    return _flat(loss).mean(axis=1, dtype=np.float64)


def cross_entropy_floor(x: ArrayLike) -> float:
    """Return the mean binary cross-entropy of a perfect copy of `x`: the least that any network can reach.

    This is the entropy of the values themselves, zero only where all of them are 0 or 1.

    Args:
        x: the samples, shape (n, ...), values in [0, 1].

    Returns:
        Nats per value, between 0 and log 2 (0.0581 for the MNIST test images).

    Raises:
        ValueError: values outside [0, 1], NaN.
    """
    x = check_samples(x)
    check_unit_interval(x, "x")
    return float(np.mean(entr(x) + entr(1 - x), dtype=np.float64))


# ------------------------------------------------------------------------------------------------------------
# Running networks


def predict_in_batches(model: Model, x: ArrayLike, batch_size: int = 1024) -> NDArray | list[NDArray]:
    """Return what `model` makes of `x`, in inference mode (no dropout, no noise, fixed batch statistics).

    The same numbers as `model.predict`, at less cost for each call.

    Args:
        model: a Keras model, or any function from a batch to an array (or to a list of arrays).
        x: shape (n, ...), turned into float32.
        batch_size: samples per call, which bounds the memory used.

    Returns:
        Shape (n, ...) as the model's output; for a model with several outputs, a list of such arrays.

    Raises:
        ValueError: bad input, or a model that gives NaN (its training has diverged).
    """
    x = check_samples(x).astype(np.float32, copy=False)
    batch_size = check_count(batch_size, "batch_size")
    # The model is called directly: `predict` sets up a data pipeline in each call, and `predict_on_batch` of
    # each new model is first traced, which takes longer than scoring a test set and makes TensorFlow warn.
    settings = {"training": False} if isinstance(model, keras.Model) else {}
    pieces = [model(x[start : start + batch_size], **settings) for start in range(0, len(x), batch_size)]
    if isinstance(pieces[0], (list, tuple)):
        return [_join(parts) for parts in zip(*pieces, strict=True)]
    return _join(pieces)


def _join(pieces: Sequence[ArrayLike]) -> NDArray:
    """Return the outputs for successive batches as one array, after a check that they are finite."""
    joined = np.concatenate([keras.ops.convert_to_numpy(piece) for piece in pieces])
    if not np.isfinite(joined).all():
        raise ValueError(
            "The model's output holds NaN or infinite values: its training has diverged. "
            "Train it again with a smaller learning rate and look at the loss."
        )
    return joined


def _reconstruct(autoencoder: Model, x: NDArray) -> NDArray:
    """Return the autoencoder's reconstruction of `x`, after a check that it has the shape of `x`."""
    reconstruction = predict_in_batches(autoencoder, x)
    if isinstance(reconstruction, list):
        raise ValueError(
            f"The autoencoder gives {len(reconstruction)} outputs; a score needs the reconstruction alone. "
            "Build a model with that one output."
        )
    check_same_shape(x, reconstruction, "x", "the reconstruction")
    return reconstruction


def _codes(encoder: Model, x: NDArray) -> NDArray[np.float64]:
    """Return the codes of `x` as a matrix, shape (n, values per code)."""
    codes = predict_in_batches(encoder, x)
    if isinstance(codes, list):
        raise ValueError(
            f"The encoder gives {len(codes)} outputs; a score in the code needs one. "
            "Build a model with the code as its only output."
        )
    return _flat(codes).astype(np.float64)


def encoder_activations(encoder: keras.Model) -> keras.Model:
    """Return a model that gives the activations of every stage of `encoder`, from the input towards the code.

    A stage is one layer with a kernel (dense, convolutional, recurrent, or a model inside the encoder) and
    what follows it up to the next such layer: normalisation, activation, pooling. Its activation is what it
    hands on, that is, h_1, h_2, ... in the notation of RaPP (Kim et al., ICLR 2020).

    Args:
        encoder: a Sequential or functional Keras model.

    Returns:
        A model with a list of outputs, one for each stage; it shares the encoder's weights.

    Raises:
        ValueError: an encoder written as a class of its own (its layers cannot be listed in order), or one
            without any layer that has weights.
    """
    if not (isinstance(encoder, keras.Model) and getattr(encoder, "inputs", None)):
        raise ValueError(
            "The activations of this encoder cannot be listed: build it with keras.Sequential and an Input, "
            "or the functional interface, or pass `activations`, a function from a batch to its activations."
        )
    layers, outputs = [], []

    def record(layer: keras.Layer, *inputs: keras.KerasTensor, **settings: object) -> keras.KerasTensor:
        layers.append(layer)
        outputs.append(layer(*inputs, **settings))
        return outputs[-1]

    # The encoder's graph built once more from the same layers, so the weights stay shared. A layer's own
    # `output` would not do: it belongs to the first model that used the layer, which may be another one.
    if isinstance(encoder, keras.Sequential):
        tensor = start = keras.Input(encoder.inputs[0].shape[1:])
        for layer in encoder.layers:
            tensor = record(layer, tensor)
    else:
        start = keras.tree.map_structure(lambda tensor: keras.Input(tensor.shape[1:]), encoder.input)
        keras.models.clone_model(
            encoder, input_tensors=start, clone_function=lambda layer: layer, call_function=record
        )
    begins = [
        number
        for number, layer in enumerate(layers)
        if layer.count_params() and not isinstance(layer, _RESCALING_LAYERS)
    ]
    if not begins:
        raise ValueError("The encoder has no layer with weights, so it has no activations to compare.")
    ends = [*(number - 1 for number in begins[1:]), len(layers) - 1]
    return keras.Model(start, [outputs[number] for number in ends], name="encoder_activations")


# ------------------------------------------------------------------------------------------------------------
# Thresholds


class ConformalThreshold(BaseEstimator):
    """A threshold that keeps the false-alarm rate at or under a chosen value: split conformal prediction.

    With n scores of held-out normal samples, the threshold is the k-th smallest, k = ceil((1 - a)(n + 1)),
    where a is the false-alarm rate. A new score above it raises an alarm.

    Guarantee, for normal samples exchangeable with the held-out ones and whatever their distribution: a new
    normal sample raises an alarm with probability at most a, on average over held-out sets. For one given
    held-out set, the share of normal samples that raise no alarm follows the Beta(k, n + 1 - k) distribution,
    so the number of false alarms among m new ones is beta-binomial; `band` gives its range. Scores that are
    tied with the threshold raise no alarm, so ties make false alarms rarer, never more frequent.

    Sources: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005); Angelopoulos and
    Bates, arXiv:2107.07511; Bates, Candes, Lei, Romano and Sesia, Annals of Statistics 51
    (2023), for the p-values.

    Args:
        false_alarm_rate: the highest acceptable share of normal samples that raise an alarm, between 0 and 1.

    Attributes:
        threshold_: the k-th smallest held-out score.
        expected_rate_: (n + 1 - k) / (n + 1), the mean false-alarm rate when scores have no ties.
        n_held_out_, rank_: n and k.
    """

    def __init__(self, false_alarm_rate: float = 0.05):
        self.false_alarm_rate = false_alarm_rate

    def fit(self, scores: ArrayLike, y: None = None) -> Self:
        """Set the threshold on the anomaly scores of held-out normal samples, shape (n,).

        They must not have been used in training: a network's errors on its own training samples are too
            small.

        Raises:
            ValueError: bad scores, a rate outside (0, 1), or too few scores for the rate (the error says how
                many are needed).
        """
        rate = check_fraction(self.false_alarm_rate, "false_alarm_rate")
        scores = np.sort(check_scores(scores))
        # The fraction that was meant: in binary, 0.95 * 20 can come out above 19 and cost one rank.
        rate = Fraction(rate).limit_denominator(10**9)
        n = len(scores)
        rank = ceil((1 - rate) * (n + 1))
        if rank > n:
            raise ValueError(
                f"{n} held-out normal scores are too few for a false-alarm rate of {float(rate):g}; "
                f"at least {ceil(1 / rate) - 1} are needed (or a higher rate)."
            )
        self.n_held_out_ = n
        self.rank_ = rank
        self.threshold_ = float(scores[rank - 1])
        self.expected_rate_ = (n + 1 - rank) / (n + 1)
        self._sorted_scores = scores
        return self

    def predict(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Return True, shape (n,), where a score is above the threshold: an alarm. Equal to it is none."""
        self._check_fitted()
        return check_scores(scores) > self.threshold_

    def p_values(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return conformal p-values, shape (n,), above 0 and at most 1; small = anomalous.

        They are (1 + number of held-out scores at least as large) / (n_held_out_ + 1). A score raises an
        alarm exactly when its p-value is at most the false-alarm rate.
        """
        self._check_fitted()
        below = np.searchsorted(self._sorted_scores, check_scores(scores), side="left")
        return (1 + self.n_held_out_ - below) / (self.n_held_out_ + 1)

    def band(self, n_new: int, confidence: float = 0.95) -> tuple[float, float]:
        """Return the range in which the false-alarm rate among `n_new` new normal samples will lie.

        Equal-tailed, from the beta-binomial distribution: it counts the chance in both the held-out and the
        new samples, and contains the rate with at least the given probability. Exact without ties among
        scores; with many ties the rate may fall below it.

        Args:
            n_new: how many new normal samples are scored.
            confidence: between 0 and 1.

        Returns:
            Lowest and highest rate, fractions between 0 and 1.
        """
        self._check_fitted()
        n_new = check_count(n_new, "n_new")
        tail = (1 - check_fraction(confidence, "confidence")) / 2
        alarms = betabinom(n_new, self.n_held_out_ + 1 - self.rank_, self.rank_)
        return float(alarms.ppf(tail)) / n_new, float(alarms.ppf(1 - tail)) / n_new

    def _check_fitted(self) -> None:
        if not hasattr(self, "threshold_"):
            raise NotFittedError(
                "This threshold is not set yet; call fit with scores of held-out normal samples."
            )


# ------------------------------------------------------------------------------------------------------------
# Detectors


class AnomalyDetector(OutlierMixin, BaseEstimator, ABC):
    """Base of all detectors: learns from normal samples, scores new ones, raises alarms once calibrated.

    The steps: `fit` on normal samples, `calibrate` on other normal samples for a false-alarm rate, `predict`
    on new samples; `anomaly_score` needs `fit` only. Samples are arrays of any shape with the samples on the
    first axis. `sklearn.base.clone` gives an unfitted detector that shares the (trained) network.

    Attributes:
        threshold_: an anomaly score above it raises an alarm (after `calibrate`).
        conformal_: the `ConformalThreshold` behind it, with its guarantee and p-values (after `calibrate`).
        sample_shape_: shape of one sample (after `fit`).
    """

    @abstractmethod
    def _fit(self, x: NDArray) -> None:
        """Learn from checked normal samples, shape (n, ...)."""

    @abstractmethod
    def _score(self, x: NDArray) -> NDArray:
        """Return the anomaly scores of checked samples, shape (n,)."""

    def fit(self, x_normal: ArrayLike, y: None = None) -> Self:
        """Learn what is normal from normal samples, shape (n, ...), floating point; `y` is ignored.

        Raises:
            ValueError: NaN, empty, no batch axis, whole numbers up to 255.
        """
        x = check_samples(x_normal, "x_normal")
        # A threshold set before belongs to what was learnt before.
        for name in ("threshold_", "conformal_", "sample_shape_"):
            self.__dict__.pop(name, None)
        self._fit(x)
        self.sample_shape_ = x.shape[1:]
        self.n_features_in_ = prod(x.shape[1:])
        return self

    def anomaly_score(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return one score per sample, shape (n,), higher = more anomalous.

        Raises:
            NotFittedError: before `fit`.
            ValueError: NaN, empty, or samples of another shape than those of `fit`.
        """
        if not hasattr(self, "sample_shape_"):
            raise NotFittedError(
                f"This {type(self).__name__} is not fitted; call fit with normal samples first."
            )
        x = check_samples(x, sample_shape=self.sample_shape_)
        return check_scores(self._score(x), "the detector's scores")

    def score_samples(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return minus the anomaly score, shape (n,): higher = more normal, as in scikit-learn."""
        return -self.anomaly_score(x)

    def calibrate(self, x_held_out_normal: ArrayLike, false_alarm_rate: float = 0.05) -> Self:
        """Set the threshold on normal samples that took no part in training; see `ConformalThreshold`.

        Args:
            x_held_out_normal: shape (n, ...), n at least 1 / false_alarm_rate - 1.
            false_alarm_rate: highest acceptable share of normal samples that raise an alarm, between 0 and 1.
        """
        scores = self.anomaly_score(x_held_out_normal)
        self.conformal_ = ConformalThreshold(false_alarm_rate).fit(scores)
        self.threshold_ = self.conformal_.threshold_
        return self

    def decision_function(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return threshold minus anomaly score, shape (n,): negative = alarm.

        Raises:
            NotFittedError: before `calibrate`.
        """
        scores = self.anomaly_score(x)
        if not hasattr(self, "threshold_"):
            raise NotFittedError(
                f"This {type(self).__name__} has no threshold; "
                "call calibrate with held-out normal samples first."
            )
        return self.threshold_ - scores

    def predict(self, x: ArrayLike) -> NDArray[np.int64]:
        """Return +1 (normal) or -1 (anomaly) for each sample, shape (n,).

        Raises:
            NotFittedError: before `calibrate`.
        """
        return np.where(self.decision_function(x) < 0, -1, 1)

    def __sklearn_clone__(self) -> Self:
        # Networks (and functions) are shared, not copied: they are trained already and no detector changes
        # them.
        parameters = self.get_params(deep=False)
        return type(self)(
            **{name: p if callable(p) else clone(p, safe=False) for name, p in parameters.items()}
        )


class ReconstructionDetector(AnomalyDetector):
    """Anomalies are what the autoencoder reconstructs badly.

    Args:
        autoencoder: a trained Keras model, or any function from a batch to its reconstruction.
        kind: "squared" or "absolute" error, see `reconstruction_error`.
    """

    def __init__(self, autoencoder: Model, kind: str = "squared"):
        self.autoencoder = autoencoder
        self.kind = kind

    def _fit(self, x: NDArray) -> None:
        # Nothing to learn: the network is trained. Fails now rather than later when it does not fit the data.
        check_choice(self.kind, "kind", ("squared", "absolute"))
        _reconstruct(self.autoencoder, x[:1])

    def _score(self, x: NDArray) -> NDArray:
        return reconstruction_error(x, _reconstruct(self.autoencoder, x), kind=self.kind)


class LatentMahalanobis(AnomalyDetector):
    """Anomalies are what has a code far from the mean code, measured by the covariance of normal codes.

    The covariance is shrunk by the rule of Ledoit and Wolf (Journal of Multivariate Analysis 88, 2004), so
    that code values that are rarely active, or more code values than samples, do not make it singular. The
    other common rule, OAS, is derived for Gaussian data; codes behind a ReLU, half of them zero, are anything
    but.

    Args:
        encoder: a trained Keras model, or any function from a batch to its codes.

    Attributes:
        shrinkage_: how much of the plain covariance was replaced, between 0 and 1.
    """

    def __init__(self, encoder: Model):
        self.encoder = encoder

    def _fit(self, x: NDArray) -> None:
        check_count(len(x), "The number of normal samples", least=2)
        self._covariance = LedoitWolf().fit(_codes(self.encoder, x))
        self.shrinkage_ = float(self._covariance.shrinkage_)

    def _score(self, x: NDArray) -> NDArray:
        return np.sqrt(self._covariance.mahalanobis(_codes(self.encoder, x)))


class LatentNeighbours(AnomalyDetector):
    """Anomalies are what has a code far from the codes of normal samples: mean distance to the nearest few.

    A sample that was itself in the training set finds itself at distance 0, so score other samples only.

    Args:
        encoder: a trained Keras model, or any function from a batch to its codes.
        n_neighbours: how many of the nearest training codes to average over.
    """

    def __init__(self, encoder: Model, n_neighbours: int = 5):
        self.encoder = encoder
        self.n_neighbours = n_neighbours

    def _fit(self, x: NDArray) -> None:
        _check_neighbours(self.n_neighbours, len(x))
        self._training_codes = _codes(self.encoder, x)

    def _score(self, x: NDArray) -> NDArray:
        return _neighbour_distance(_codes(self.encoder, x), self._training_codes, self.n_neighbours)


class PathwayScore(AnomalyDetector):
    """Reconstruction along the pathway: errors compared in the input and in every layer of the encoder.

    With h_0(x) = x, h_i(x) the activations of stage i of the encoder and x' the reconstruction of x,
    d(x) joins h_i(x) - h_i(x') over the stages. The score is

    - "sap", simple aggregation: the squared length of d;
    - "nap", normalised aggregation: the squared length of (d - m) V / s, with m the mean of d over the
      training samples and U s V' the singular value decomposition of the training samples' d - m. Up to the
      factor n - 1 this is the squared Mahalanobis distance of d.

    Directions in which d hardly varies would be divided by almost nothing, so those with a singular value
    under `relative_cutoff` times the largest are left out.

    Source: Kim et al., RaPP: Novelty Detection with Reconstruction along Projection Pathway, ICLR 2020.

    Args:
        autoencoder: a trained Keras model with a sub-model named "encoder", or any function from a batch to
            its reconstruction (then give `activations`).
        kind: "sap" or "nap".
        start_layer: first stage that counts; 0 is the input itself.
        activations: function from a batch to its list of activations h_1, h_2, ...; None takes
            `encoder_activations(autoencoder.get_layer("encoder"))`.
        relative_cutoff: for "nap"; from 1e-7, the precision of the networks' float32 activations, to below 1.

    Attributes:
        rank_: for "nap", how many directions count.
    """

    # Above this many values in d the square matrices of "nap" need more than a gigabyte.
    _MOST_VALUES = 8192

    def __init__(
        self,
        autoencoder: Model,
        kind: str = "sap",
        start_layer: int = 0,
        activations: Callable[[NDArray], Sequence[ArrayLike]] | None = None,
        relative_cutoff: float = 1e-5,
    ):
        self.autoencoder = autoencoder
        self.kind = kind
        self.start_layer = start_layer
        self.activations = activations
        self.relative_cutoff = relative_cutoff

    def _fit(self, x: NDArray) -> None:
        check_choice(self.kind, "kind", ("sap", "nap"))
        check_count(self.start_layer, "start_layer", least=0)
        self._activations = self._find_activations()
        width = next(self._differences(x[:1])).shape[1]
        if self.kind == "sap":
            return
        check_count(len(x), "The number of normal samples", least=2)
        if check_fraction(self.relative_cutoff, "relative_cutoff") < 1e-7:
            raise ValueError(
                "relative_cutoff must be at least 1e-7, the precision of float32, "
                f"not {self.relative_cutoff!r}."
            )
        if width > self._MOST_VALUES:
            raise ValueError(
                f"kind 'nap' would compare {width} values per sample; more than {self._MOST_VALUES} take too "
                "much memory. Raise start_layer to leave out the widest layers, or take kind 'sap'."
            )
        # float64: squaring the matrix squares the spread of its singular values.
        d = np.concatenate(list(self._differences(x))).astype(np.float64)
        self._mean = d.mean(axis=0)
        d -= self._mean
        # Differences this small are rounding errors of the networks' float32 activations.
        if np.abs(d).max() <= 1e-7 * np.abs(self._mean).max():
            raise ValueError(
                "All normal samples have the same reconstruction error, so kind 'nap' cannot normalise it; "
                "take kind 'sap' or more varied samples."
            )
        solver = "covariance_eigh" if len(d) >= width else "full"
        pca = PCA(svd_solver=solver).fit(d)
        kept = pca.singular_values_ > self.relative_cutoff * pca.singular_values_[0]
        self.rank_ = int(kept.sum())
        self._projection = pca.components_[kept].T / pca.singular_values_[kept]

    def _score(self, x: NDArray) -> NDArray:
        scores = []
        for d in self._differences(x):
            if self.kind == "nap":
                d = (d - self._mean) @ self._projection
            scores.append(np.einsum("ij,ij->i", d, d, dtype=np.float64))
        return np.concatenate(scores)

    def _find_activations(self) -> Model:
        if self.activations is not None:
            return self.activations
        if not isinstance(self.autoencoder, keras.Model):
            raise ValueError(
                "autoencoder is a plain function, so the activations of its encoder are unknown; "
                "pass `activations`, a function from a batch to its list of activations."
            )
        try:
            encoder = self.autoencoder.get_layer("encoder")
        except ValueError:
            raise ValueError(
                "The autoencoder has no sub-model named 'encoder'; build one with keras.Model(..., "
                "name='encoder') or keras.Sequential(..., name='encoder'), or pass `activations`."
            ) from None
        return encoder_activations(encoder)

    def _differences(self, x: NDArray, batch_size: int = 4096) -> Iterator[NDArray]:
        """Yield d for successive batches of `x`, shape (batch, values): all of it at once may not fit."""
        for start in range(0, len(x), batch_size):
            batch = x[start : start + batch_size]
            reconstruction = _reconstruct(self.autoencoder, batch)
            pairs = [(batch, reconstruction)]
            pairs += zip(self._hidden(batch), self._hidden(reconstruction), strict=True)
            if self.start_layer >= len(pairs):
                raise ValueError(
                    f"start_layer is {self.start_layer}, but this encoder has stages 0 (the input) to "
                    f"{len(pairs) - 1} (the code)."
                )
            yield np.concatenate([_flat(h - h_copy) for h, h_copy in pairs[self.start_layer :]], axis=1)

    def _hidden(self, x: NDArray) -> list[NDArray]:
        hidden = predict_in_batches(self._activations, x)
        return hidden if isinstance(hidden, list) else [hidden]


class PCADetector(AnomalyDetector):
    """Anomalies are what a principal component analysis reconstructs badly: the linear autoencoder.

    The best that a linear network with as many code values can do, so every autoencoder stands beside it.

    Args:
        n_components: how many principal components to keep.
    """

    def __init__(self, n_components: int = 32):
        self.n_components = n_components

    def _fit(self, x: NDArray) -> None:
        self._pca = _fit_pca(_flat(x), self.n_components)

    def _score(self, x: NDArray) -> NDArray:
        flat = _flat(x)
        return reconstruction_error(flat, self._pca.inverse_transform(self._pca.transform(flat)))


class MahalanobisDetector(AnomalyDetector):
    """Anomalies are what is far from the mean of the normal samples, measured by their covariance.

    The distance is taken within the leading principal components, because the others are mostly noise.

    Args:
        n_components: how many principal components to keep.
    """

    def __init__(self, n_components: int = 32):
        self.n_components = n_components

    def _fit(self, x: NDArray) -> None:
        pca = _fit_pca(_flat(x), self.n_components)
        # Less than this is the rounding error of subtracting the mean, or of the covariance.
        least = max(1e-10 * pca.explained_variance_[0], 1e-20 * np.square(pca.mean_).max())
        rank = int(np.sum(pca.explained_variance_ > least))
        if rank < self.n_components:
            raise ValueError(
                f"The normal samples vary in {rank} directions only; set n_components to {rank} or less."
                if rank
                else "All normal samples are the same, so there is no scale; fit more varied samples."
            )
        self._pca = pca

    def _score(self, x: NDArray) -> NDArray:
        return np.sqrt(np.sum(self._pca.transform(_flat(x)) ** 2 / self._pca.explained_variance_, axis=1))


class NeighbourDetector(AnomalyDetector):
    """Anomalies are what is far from the normal samples: mean distance to the nearest few, in the input.

    Simple, without any training, and hard to beat on small images. A sample that was itself in the training
    set finds itself at distance 0, so score other samples only.

    Args:
        n_neighbours: how many of the nearest training samples to average over.
    """

    def __init__(self, n_neighbours: int = 5):
        self.n_neighbours = n_neighbours

    def _fit(self, x: NDArray) -> None:
        _check_neighbours(self.n_neighbours, len(x))
        self._training_samples = _flat(x)

    def _score(self, x: NDArray) -> NDArray:
        return _neighbour_distance(_flat(x), self._training_samples, self.n_neighbours)


class SklearnDetector(AnomalyDetector):
    """Any scikit-learn detector in this book's sign, for example IsolationForest or OneClassSVM.

    Args:
        estimator: an unfitted scikit-learn outlier detector with `score_samples`. Its own threshold is not
            used: `calibrate` sets one on held-out samples.
    """

    def __init__(self, estimator: BaseEstimator):
        self.estimator = estimator

    def _fit(self, x: NDArray) -> None:
        if not hasattr(self.estimator, "score_samples"):
            raise ValueError(
                f"{type(self.estimator).__name__} has no score_samples; give an outlier detector such as "
                "IsolationForest(), OneClassSVM() or LocalOutlierFactor(novelty=True)."
            )
        self.estimator_ = clone(self.estimator).fit(_flat(x))

    def _score(self, x: NDArray) -> NDArray:
        return -self.estimator_.score_samples(_flat(x))


class CalibratedSum(AnomalyDetector):
    """Several detectors in one: the mean of their scores after each is put on the same scale.

    See `combine_scores` for the scale. It is learnt on normal samples that the detectors did not see, so that
    no detector counts for more because it overfits. No label and no test sample takes part.

    Args:
        detectors: unfitted detectors; clones of them are fitted.
        held_out_fraction: share of the samples that sets the scale instead of fitting the detectors, when
            `fit` gets no samples for that purpose.
        seed: decides which samples these are.
        scale: "log" or "linear", see `combine_scores`.

    Attributes:
        detectors_: the fitted detectors.
    """

    def __init__(
        self,
        detectors: Sequence[AnomalyDetector],
        held_out_fraction: float = 0.2,
        seed: int = 0,
        scale: str = "log",
    ):
        self.detectors = detectors
        self.held_out_fraction = held_out_fraction
        self.seed = seed
        self.scale = scale

    def fit(self, x_normal: ArrayLike, y: None = None, x_held_out_normal: ArrayLike | None = None) -> Self:
        """Fit the detectors on `x_normal` and set the scale on `x_held_out_normal`, both of shape (n, ...).

        Networks inside the detectors are trained already: give as `x_held_out_normal` normal samples that
        they did not see in training, or their scale comes out too small. Without it a share of `x_normal` is
        used.
        """
        x_normal = check_samples(x_normal, "x_normal")
        if x_held_out_normal is None:
            fraction = check_fraction(self.held_out_fraction, "held_out_fraction")
            n_held_out = ceil(fraction * len(x_normal))
            check_count(len(x_normal) - n_held_out, "The number of normal samples left to fit on")
            order = np.random.default_rng(self.seed).permutation(len(x_normal))
            x_held_out_normal, x_normal = x_normal[order[:n_held_out]], x_normal[order[n_held_out:]]
        self._x_scale = x_held_out_normal
        try:
            return super().fit(x_normal)
        finally:
            del self._x_scale

    def _fit(self, x: NDArray) -> None:
        check_choice(self.scale, "scale", ("log", "linear"))
        check_count(len(self.detectors), "The number of detectors")
        self.detectors_ = [clone(detector).fit(x) for detector in self.detectors]
        self._normal_scores = [detector.anomaly_score(self._x_scale) for detector in self.detectors_]
        # Now rather than at the first score: an error when a detector gives no usable scale.
        combine_scores(self._normal_scores, self._normal_scores, self.scale)

    def _score(self, x: NDArray) -> NDArray:
        scores = [detector.anomaly_score(x) for detector in self.detectors_]
        return combine_scores(scores, self._normal_scores, self.scale)


def combine_scores(
    scores: Sequence[ArrayLike], normal_scores: Sequence[ArrayLike], scale: str = "log"
) -> NDArray[np.float64]:
    """Return the mean of several detectors' scores after each is put on the same scale.

    Each detector's scores are standardised: its mean score on held-out normal samples becomes 0, its standard
    deviation there 1. Errors and distances are positive with a long tail on the right; their logarithm is
    nearly symmetric, so "log" keeps one detector's few extreme scores from drowning the others.

    Args:
        scores: one array of shape (m,) for each detector, the samples to score.
        normal_scores: one array of shape (n,) for each detector, n >= 2 held-out normal samples.
        scale: "log" (scores of at least 0; those under the smallest positive normal score count as equal to
            it) or "linear" (any scores).

    Returns:
        Shape (m,), higher = more anomalous, in standard deviations of the normal samples.

    Raises:
        ValueError: bad scores, lists that differ in length, negative scores with "log", or a detector that
            gives all normal samples the same score.
    """
    check_choice(scale, "scale", ("log", "linear"))
    if len(scores) != len(normal_scores) or not len(scores):
        raise ValueError(
            f"scores come from {len(scores)} detectors and normal_scores from {len(normal_scores)}; "
            "give both for each detector."
        )
    total = 0.0
    for number, (new, normal) in enumerate(zip(scores, normal_scores, strict=True)):
        new = check_scores(new, f"scores[{number}]")
        normal = check_scores(normal, f"normal_scores[{number}]")
        if scale == "log":
            if min(new.min(), normal.min()) < 0:
                raise ValueError(
                    f"Detector {number} gives negative scores, which have no logarithm; take scale='linear'."
                )
            least = normal[normal > 0].min(initial=np.inf)
            # All zero: left as it is, to be refused just below for having no spread.
            if np.isfinite(least):
                new, normal = np.log(np.maximum(new, least)), np.log(np.maximum(normal, least))
        spread = normal.std()
        if not spread > 1e-12 * abs(normal.mean()):
            raise ValueError(
                f"Detector {number} gives all held-out normal samples the same score, so it has no scale; "
                "leave it out or give more samples."
            )
        total = total + (new - normal.mean()) / spread
    return total / len(scores)


# ------------------------------------------------------------------------------------------------------------
# Shared by the classical detectors


def _fit_pca(flat: NDArray, n_components: int) -> PCA:
    """Return a principal component analysis of `flat`, shape (n, values), in float64."""
    check_count(
        n_components,
        "n_components",
        most=min(flat.shape),
        reason=f" for data of shape {flat.shape} (n, values)",
    )
    # The eigenvectors of the small covariance matrix: many times faster than a singular value decomposition
    # of a tall matrix. In float64, because the covariance squares the spread of the values.
    solver = "covariance_eigh" if len(flat) >= flat.shape[1] else "full"
    return PCA(n_components, svd_solver=solver).fit(flat.astype(np.float64, copy=False))


def _check_neighbours(n_neighbours: int, n_samples: int) -> None:
    check_count(n_neighbours, "n_neighbours", most=n_samples, reason=" (the number of normal samples)")


def _neighbour_distance(
    queries: NDArray, points: NDArray, n_neighbours: int, block_size: int = 512, group_size: int = 64
) -> NDArray[np.float64]:
    """Return the mean distance from each query, shape (n, p), to its nearest `points`, shape (m, p).

    Euclidean. Every distance is taken, but through one float32 matrix product for a block of queries, which
    needs about half the time of scikit-learn's brute-force search. Rounding there may swap two neighbours
    that are almost equally distant; the distances returned are computed anew from the differences.
    """
    centre = points.mean(axis=0)
    points = (points - centre).astype(np.float32)
    queries = (queries - centre).astype(np.float32)
    # |q - p|^2 = |q|^2 - 2 (q . p - |p|^2 / 2): the nearest point has the largest q . p - |p|^2 / 2. The last
    # term rides along in the product as one more column.
    n_groups = -(-len(points) // group_size)
    if n_groups < 4 * n_neighbours:
        group_size, n_groups = 1, len(points)
    extended = np.zeros((n_groups * group_size, points.shape[1] + 1), np.float32)
    extended[: len(points), :-1] = points
    extended[: len(points), -1] = -0.5 * np.einsum("ij,ij->i", points, points)
    # Rows that only fill the last group must never be near.
    extended[len(points) :, -1] = -np.finfo(np.float32).max

    distances = np.empty(len(queries))
    for start in range(0, len(queries), block_size):
        block = queries[start : start + block_size]
        rows = np.arange(len(block))[:, np.newaxis]
        nearness = np.column_stack([block, np.ones(len(block), np.float32)]) @ extended.T
        # The k largest of all lie in the k groups with the largest maxima, so only those are searched: taking
        # maxima is much faster than partitioning the whole row.
        nearness = nearness.reshape(len(block), group_size, n_groups)
        groups = np.argpartition(nearness.max(axis=1), -n_neighbours, axis=1)[:, -n_neighbours:]
        candidates = nearness[
            rows[:, :, np.newaxis], np.arange(group_size)[:, np.newaxis], groups[:, np.newaxis]
        ]
        candidates = candidates.reshape(len(block), -1)
        best = np.argpartition(candidates, -n_neighbours, axis=1)[:, -n_neighbours:]
        nearest = (best // n_neighbours) * n_groups + groups[rows, best % n_neighbours]
        gaps = block[:, np.newaxis] - points[nearest]
        squares = np.einsum("qkp,qkp->qk", gaps, gaps, dtype=np.float64)
        distances[start : start + block_size] = np.sqrt(squares).mean(axis=1)
    return distances
