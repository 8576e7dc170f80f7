"""The same function as a convolutional Keras model, of the same weights, computed by faster means.

On a processor, a small convolutional autoencoder loses most of its time outside the multiplications.
`twin_of` reads a Keras model that is a plain chain of layers and gives back a `Twin`, which computes what the
model computes, up to rounding, with these differences:

* **Up-sampling and convolution in one.** Up-sampling by copying pixels and then convolving multiplies the
  same numbers again and again. Every output pixel of the same phase (the same place inside its s by s block)
  sees the small image through the same, smaller kernel, whose entries are sums of the large one's. One
  convolution of the small image yields all phases, with 4/9 of the multiplications for s = 2 and a kernel of
  3 by 3. Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?", arXiv:1609.07009,
  show the same for sub-pixel convolution.
* **Pooling before the activation.** For an activation that never falls, the largest of the activated values
  is the activated largest value: a quarter of the activations is computed.
* **Bias, pooling, phases, activation and loss as compiled clusters.** XLA makes one pass over the memory of
  what would be six, forwards and backwards. The convolutions stay with TensorFlow's own routines, which are
  the faster ones.
* **Cross-entropy from logits** when a sigmoid comes last, in place of a logarithm of a rounded probability.
* **The gradient of a bias as a matrix product** with a row of ones. TensorFlow would fuse that sum into the
  gradient of the kernel, which made the latter two to six times slower in our measurements.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import layers

__all__ = ["Twin", "twin_of"]

Tensors = list[tf.Tensor]

# Activations that never fall, so that a maximum may be taken before them.
_NEVER_FALLING = {
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.relu6,
    keras.activations.leaky_relu,
    keras.activations.elu,
    keras.activations.selu,
    keras.activations.softplus,
    keras.activations.sigmoid,
    keras.activations.tanh,
}

# Layers that compute a function of their weights and of one sample at a time, and nothing else: no state, no
# random numbers, no statistics over the batch.
_PLAIN_LAYERS = {
    layers.Activation,
    layers.AveragePooling2D,
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.Cropping2D,
    layers.Dense,
    layers.DepthwiseConv2D,
    layers.ELU,
    layers.Flatten,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.InputLayer,
    layers.LayerNormalization,
    layers.LeakyReLU,
    layers.MaxPooling2D,
    layers.PReLU,
    layers.Permute,
    layers.ReLU,
    layers.Reshape,
    layers.SeparableConv2D,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
}

_LOSSES = ("binary_crossentropy", "mean_squared_error", "mean_absolute_error")


def twin_of(model: keras.Model, loss: object) -> Twin | None:
    """Return the faster twin of a model for a loss, or None where there is nothing to gain or no safe way.

    Args:
        model: a built Keras model. It has a twin if it is a chain of layers (sub-models that are chains
            themselves included) with at least one two-dimensional convolution, all in float32 and channels
            last, without a state beside its weights, without random numbers and without penalties.
        loss: the loss that the twin is to compute: the name of one that is a mean over the samples and their
            values, ``"binary_crossentropy"``, ``"mean_squared_error"`` or ``"mean_absolute_error"``.

    Returns:
        The `Twin`, or None.
    """
    if loss not in _LOSSES:
        return None
    chain = _chain_of(model)
    if chain is None or not any(isinstance(layer, layers.Conv2D) for layer in chain):
        return None
    if not all(_is_plain(layer) for layer in chain):
        return None
    # One variable per place: a model that uses a layer twice has fewer variables than its chain has places.
    if len({id(layer) for layer in chain if layer.weights}) < sum(bool(layer.weights) for layer in chain):
        return None
    if len(model.variables) != len(model.trainable_variables):
        return None  # a frozen layer
    return Twin(model, chain, loss)


def _chain_of(model: keras.Model) -> list[keras.Layer] | None:
    """Return the layers of a model in the order of their application, or None if it is no plain chain."""
    if isinstance(model, keras.Sequential):
        applied = model.layers
    elif type(model).__name__ == "Functional":
        operations = [node.operation for nodes in _nodes_by_depth(model) for node in nodes]
        if any(len(nodes) != 1 for nodes in _nodes_by_depth(model)):
            return None  # a branch
        applied = [operation for operation in operations if not isinstance(operation, layers.InputLayer)]
        if not all(isinstance(operation, keras.Layer) for operation in applied):
            return None  # a bare operation such as x + 1
    else:
        return None  # a class of the reader's own, which may do anything
    chain = []
    for layer in applied:
        part = _chain_of(layer) if isinstance(layer, keras.Model) else [layer]
        if part is None:
            return None
        chain += part
    return chain


def _nodes_by_depth(model: keras.Model) -> list[list]:
    nodes = model._nodes_by_depth  # Keras has no public way to a model's graph
    return [nodes[depth] for depth in sorted(nodes, reverse=True)]


def _is_plain(layer: keras.Layer) -> bool:
    if type(layer) not in _PLAIN_LAYERS or layer.compute_dtype != "float32":
        return False
    if getattr(layer, "data_format", None) == "channels_first" or layer.losses:
        return False
    names = ("activity_regularizer", "kernel_regularizer", "bias_regularizer", "kernel_constraint")
    return all(getattr(layer, name, None) is None for name in (*names, "bias_constraint", "lora_rank"))


class Twin:
    """A model's chain of layers as a function of explicit weights, see `twin_of`.

    The functions below take and return TensorFlow tensors, also inside graphs. They run in two stages.
    `prepare` does what is done once a step, such as adding up the entries of a kernel; `outputs` and `loss`
    take what it returns, which lets several parts of a batch share it.

    Attributes:
        weights: the model's variables in the order in which the functions expect their values; the order of
            ``model.trainable_variables``.
    """

    def __init__(self, model: keras.Model, chain: Sequence[keras.Layer], loss: str):
        self.weights = list(model.trainable_variables)
        places = {id(variable): place for place, variable in enumerate(self.weights)}
        self._steps = _steps_of(list(chain))
        self._places = [[places[id(v)] for v in step.variables] for step in self._steps]
        self._loss = loss

    def prepare(self, weights: Sequence[tf.Tensor]) -> list[Tensors]:
        """Return the weights in the form that the steps use."""
        return [
            step.prepare([weights[place] for place in places])
            for step, places in zip(self._steps, self._places, strict=True)
        ]

    def outputs(self, prepared: list[Tensors], x: tf.Tensor, compiled: bool = True) -> tf.Tensor:
        """Return the model's outputs for the inputs `x`, shape (n, ...).

        `compiled` is for many calls with one number of samples n: XLA compiles the clusters for it, which
        takes about a second. Without it n may also be unknown.
        """
        for step, tensors in zip(self._steps, prepared, strict=True):
            x = step.apply(tensors, x, compiled)
        return x

    def loss(
        self, prepared: list[Tensors], x: tf.Tensor, targets: tf.Tensor, compiled: bool = True
    ) -> tf.Tensor:
        """Return the mean loss over the samples, a scalar. For `compiled` see `outputs`."""
        for step, tensors in zip(self._steps[:-1], prepared[:-1], strict=True):
            x = step.apply(tensors, x, compiled)
        return self._steps[-1].loss(prepared[-1], x, targets, self._loss, compiled)


def _steps_of(chain: list[keras.Layer]) -> list[_Step]:
    """Cut a chain into steps, each of one layer or of several that are computed as one."""
    steps, place = [], 0
    while place < len(chain):
        layer, following = chain[place], chain[place + 1 : place + 2]
        follower = following[0] if following else None
        if _can_join_upsampling(layer, follower):
            steps.append(_Convolution(follower, upsampling=layer))
            place += 2
        elif _can_join_pooling(layer, follower):
            steps.append(_Convolution(layer, pooling=follower))
            place += 2
        else:
            is_simple = type(layer) is layers.Conv2D and layer.groups == 1
            steps.append(_Convolution(layer) if is_simple else _Layer(layer))
            place += 1
    return steps


def _can_join_upsampling(layer: keras.Layer, follower: keras.Layer | None) -> bool:
    return (
        type(layer) is layers.UpSampling2D
        and layer.interpolation == "nearest"
        and type(follower) is layers.Conv2D
        and follower.padding == "same"
        and follower.strides == (1, 1)
        and follower.dilation_rate == (1, 1)
        and follower.groups == 1
    )


def _can_join_pooling(layer: keras.Layer, follower: keras.Layer | None) -> bool:
    if type(layer) is not layers.Conv2D or layer.groups != 1 or type(follower) is not layers.MaxPooling2D:
        return False
    height, width = layer.output.shape[1:3]
    if follower.strides != follower.pool_size or None in (height, width):
        return False
    whole = height % follower.pool_size[0] == 0 and width % follower.pool_size[1] == 0
    fits = height >= follower.pool_size[0] and width >= follower.pool_size[1]
    # With padding, windows at the border are filled up; without it, what is left over is cut off.
    return fits and (whole or follower.padding == "valid") and layer.activation in _NEVER_FALLING


class _Step:
    """What steps have in common."""

    variables: list[keras.Variable]

    def prepare(self, weights: Tensors) -> Tensors:
        return weights

    def apply(self, weights: Tensors, x: tf.Tensor, compiled: bool) -> tf.Tensor:
        raise NotImplementedError

    def loss(
        self, weights: Tensors, x: tf.Tensor, targets: tf.Tensor, loss: str, compiled: bool
    ) -> tf.Tensor:
        return tf.reduce_mean(keras.losses.get(loss)(targets, self.apply(weights, x, compiled)))


class _Layer(_Step):
    """A layer as Keras computes it."""

    def __init__(self, layer: keras.Layer):
        self._layer = layer
        self.variables = list(layer.trainable_variables)

    def apply(self, weights: Tensors, x: tf.Tensor, compiled: bool) -> tf.Tensor:
        return self._layer.stateless_call(weights, [], x)[0]


class _Convolution(_Step):
    """A convolution with its bias and activation, after an up-sampling or before a pooling, if any."""

    def __init__(self, layer, upsampling=None, pooling=None):
        self.variables = [layer.kernel] + ([layer.bias] if layer.use_bias else [])
        self._layer = layer
        self._phases = _Phases.of(upsampling.size, layer.kernel_size) if upsampling else None
        self._finish = _Finish(
            layer.activation,
            factors=tuple(upsampling.size) if upsampling else None,
            starts=self._phases.starts if upsampling else None,
            pool_size=tuple(pooling.pool_size) if pooling else None,
        )

    def prepare(self, weights: Tensors) -> Tensors:
        kernel = self._phases.small_kernel(weights[0]) if self._phases else weights[0]
        bias = weights[1] if self._layer.use_bias else tf.zeros(kernel.shape[-1:])
        if self._phases and self._layer.use_bias:
            bias = tf.tile(bias, [math.prod(self._phases.factors)])
        return [kernel, bias]

    def apply(self, weights: Tensors, x: tf.Tensor, compiled: bool) -> tf.Tensor:
        return _finished(self._finish, compiled)(self._convolved(weights[0], x), weights[1])

    def loss(
        self, weights: Tensors, x: tf.Tensor, targets: tf.Tensor, loss: str, compiled: bool
    ) -> tf.Tensor:
        if loss != "binary_crossentropy" or self._layer.activation is not keras.activations.sigmoid:
            return super().loss(weights, x, targets, loss, compiled)
        return _cross_entropy(self._finish, compiled)(self._convolved(weights[0], x), weights[1], targets)

    def _convolved(self, kernel: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        if self._phases:
            return tf.nn.conv2d(tf.pad(x, self._phases.padding), kernel, 1, "VALID")
        layer = self._layer
        return tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate)


@dataclass(frozen=True)
class _Phases:
    """How up-sampling by copying and a convolution with zeros around become one smaller convolution.

    Along one axis, with factor s and a kernel of k entries of which p lie before its middle, output pixel
    s·i + a is the sum over t of w[t] · x[i + floor((a + t - p) / s)], where x is zero outside. So phase a
    sees neighbours from floor((a - p) / s) on, and the entry for each is the sum of all w[t] that fall on it.

    Attributes:
        factors: the factors s of the two axes.
        starts: for both axes, where the window of each phase starts in the padded small image.
        padding: zeros around the small image, as `tf.pad` takes it.
        mixing: the matrix that turns the k1·k2 entries of the large kernel into those of all small ones, rows
            in the order (entry along the first axis, along the second, phase of the first, of the second).
        sizes: the size of the small kernels.
    """

    factors: tuple[int, int]
    starts: tuple[tuple[int, ...], tuple[int, ...]]
    padding: list[list[int]]
    mixing: np.ndarray
    sizes: tuple[int, int]

    @staticmethod
    @functools.cache
    def of(factors: tuple[int, int], kernel_size: tuple[int, int]) -> _Phases:
        starts, sizes, padding, mixings = [], [], [[0, 0]], []
        for factor, size in zip(factors, kernel_size, strict=True):
            before = (size - 1) // 2  # where Keras and TensorFlow put the middle of a kernel of even size
            neighbours = [[(a + t - before) // factor for t in range(size)] for a in range(factor)]
            first, last = neighbours[0][0], neighbours[-1][-1]
            length = max(row[-1] - row[0] + 1 for row in neighbours)
            # The window of every phase has the same length; the last ones may reach one further.
            last = max(last, *(row[0] + length - 1 for row in neighbours))
            mixing = np.zeros((length, factor, size), np.float32)
            for a, row in enumerate(neighbours):
                for t, neighbour in enumerate(row):
                    mixing[neighbour - row[0], a, t] = 1
            starts.append(tuple(row[0] - first for row in neighbours))
            sizes.append(length)
            padding.append([-first, last])
            mixings.append(mixing)
        # (i, a, t) and (j, b, u) to ((i, j, a, b), (t, u))
        both = np.einsum("iat,jbu->ijabtu", *mixings).reshape(-1, math.prod(kernel_size))
        return _Phases(tuple(factors), tuple(starts), [*padding, [0, 0]], both, tuple(sizes))

    def small_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        """Return the kernels of all phases beside each other, shape (*sizes, channels in, phases · out)."""
        n_phases, (n_in, n_out) = math.prod(self.factors), kernel.shape[2:]
        mixed = tf.matmul(tf.constant(self.mixing), tf.reshape(kernel, (-1, n_in * n_out)))
        mixed = tf.reshape(mixed, (*self.sizes, n_phases, n_in, n_out))
        return tf.reshape(tf.transpose(mixed, (0, 1, 3, 2, 4)), (*self.sizes, n_in, n_phases * n_out))


@dataclass(frozen=True)
class _Finish:
    """What follows a convolution: its phases put in place or its pooling, then its bias and activation."""

    activation: Callable[[tf.Tensor], tf.Tensor]
    factors: tuple[int, int] | None
    starts: tuple[tuple[int, ...], tuple[int, ...]] | None
    pool_size: tuple[int, int] | None

    def before_activation(self, convolved: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        if self.pool_size:
            return _pooled(convolved, self.pool_size) + bias
        if self.factors:
            return self._in_place(convolved + bias)
        return convolved + bias

    def _in_place(self, phases: tf.Tensor) -> tf.Tensor:
        (s1, s2), (height, width, channels) = self.factors, phases.shape[1:]
        height, width = height - max(self.starts[0]), width - max(self.starts[1])
        channels //= s1 * s2
        rows = []
        for a, top in enumerate(self.starts[0]):
            row = []
            for b, left in enumerate(self.starts[1]):
                first = (a * s2 + b) * channels
                window = phases[:, top : top + height, left : left + width, first : first + channels]
                row.append(window)
            rows.append(tf.stack(row, 3))
        return tf.reshape(tf.stack(rows, 2), (-1, s1 * height, s2 * width, channels))


def _pooled(x: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Return the maximum of every window; its gradient goes to the first of equals, as in TensorFlow."""
    return tf.custom_gradient(lambda values: _maximum_and_gradient(values, size))(x)


def _maximum_and_gradient(x: tf.Tensor, size: tuple[int, int]) -> tuple[tf.Tensor, Callable]:
    height, width, channels = x.shape[1:]
    n_rows, n_columns = height // size[0], width // size[1]
    rest = [[0, 0], [0, height - n_rows * size[0]], [0, width - n_columns * size[1]], [0, 0]]
    whole = x[:, : n_rows * size[0], : n_columns * size[1]]
    windows = tf.reshape(whole, (-1, n_rows, size[0], n_columns, size[1], channels))
    values = [[windows[:, :, a, :, b] for b in range(size[1])] for a in range(size[0])]
    maximum = functools.reduce(tf.maximum, [value for row in values for value in row])

    def gradient(upstream):
        remaining, rows = upstream, []
        for values_of_row in values:
            row = []
            for value in values_of_row:
                is_first = tf.equal(value, maximum)
                row.append(tf.where(is_first, remaining, 0.0))
                remaining = tf.where(is_first, 0.0, remaining)
            rows.append(tf.stack(row, 3))
        return tf.pad(tf.reshape(tf.stack(rows, 2), (-1, *whole.shape[1:])), rest)

    return maximum, gradient


def _sum_over_pixels(gradient: tf.Tensor) -> tf.Tensor:
    """Return the sum over all axes but the last one, as a matrix product: see the head of this module."""
    flat = tf.reshape(gradient, (-1, gradient.shape[-1]))
    ones = tf.ones((1, tf.shape(flat)[0] if flat.shape[0] is None else flat.shape[0]))
    return tf.reshape(tf.matmul(ones, flat), flat.shape[-1:])


@functools.cache
def _finished(finish: _Finish, compiled: bool) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the function (convolved, bias) -> activated output, with a compiled gradient of its own."""

    @functools.partial(tf.function, jit_compile=compiled, autograph=False)
    def forward(convolved, bias):
        return finish.activation(finish.before_activation(convolved, bias))

    @functools.partial(tf.function, jit_compile=compiled, autograph=False)
    def backward(convolved, bias, upstream):
        with tf.GradientTape() as tape:
            tape.watch(convolved)
            placed = finish.before_activation(convolved, bias)
            output = finish.activation(placed)
        if finish.pool_size is None:
            return tape.gradient(output, [convolved], upstream)
        # Of the pooled values there are fewer: the bias gets its gradient from them.
        return tape.gradient(output, [convolved, placed], upstream)

    @tf.custom_gradient
    def function(convolved, bias):
        def gradient(upstream):
            gradients = backward(convolved, bias, upstream)
            return gradients[0], _sum_over_pixels(gradients[-1])

        return forward(convolved, bias), gradient

    return function


@functools.cache
def _cross_entropy(finish: _Finish, compiled: bool) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the function (convolved, bias, targets) -> mean binary cross-entropy of a sigmoid of them."""

    @functools.partial(tf.function, jit_compile=compiled, autograph=False)
    def forward(convolved, bias, targets):
        logits = finish.before_activation(convolved, bias)
        # The logarithm of 1 + e, not log1p of e, which XLA computes one number at a time: e is at most 1, and
        # what is lost below 1e-7 is lost to the rounding of the sum as well.
        rest = tf.math.log(1 + tf.exp(-tf.abs(logits)))
        return tf.reduce_mean(tf.nn.relu(logits) - logits * targets + rest)

    @functools.partial(tf.function, jit_compile=compiled, autograph=False)
    def backward(convolved, bias, targets, upstream):
        with tf.GradientTape() as tape:
            tape.watch(convolved)
            logits = finish.before_activation(convolved, bias)
        difference = (tf.sigmoid(logits) - targets) * (upstream / tf.cast(tf.size(logits), tf.float32))
        if finish.pool_size is None:
            return tape.gradient(logits, [convolved], difference)
        return [*tape.gradient(logits, [convolved], difference), difference]

    @tf.custom_gradient
    def function(convolved, bias, targets):
        def gradient(upstream):
            gradients = backward(convolved, bias, targets, upstream)
            return gradients[0], _sum_over_pixels(gradients[-1]), None

        return forward(convolved, bias, targets), gradient

    return function
