"""Builders of autoencoders whose two halves can be used on their own.

Every model returned here is an ordinary Keras model with two named parts: ``model.encoder`` and
``model.decoder`` (also ``model.get_layer("encoder")``, which works after loading from a file too).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from dae_utils.validation import check_choice, check_count

__all__ = ["autoencoder", "dense_autoencoder"]


def autoencoder(encoder: keras.Model, decoder: keras.Model, name: str = "autoencoder") -> keras.Model:
    """Return one model that runs `encoder` and then `decoder`.

    Args:
        encoder: a Keras model from samples, shape (n, ...), to codes.
        decoder: a Keras model from codes back to the shape of the samples.
        name: the name of the joined model.

    Returns:
        A model from samples to reconstructions, with attributes ``encoder`` and ``decoder``. Its layers carry
        those two names whatever the parts were called, and it shares their weights.

    Raises:
        ValueError: a decoder that does not take the encoder's codes, or does not return the samples' shape;
            one model given as both parts, or a part whose shapes are not known yet.
    """
    if encoder is decoder:
        raise ValueError("encoder and decoder are one and the same model; build two.")
    for part, role in ((encoder, "encoder"), (decoder, "decoder")):
        if not part.built:
            raise ValueError(f"the {role} does not know its shapes yet: begin it with keras.Input(shape).")
    code_shape, decoder_shape = tuple(encoder.output_shape[1:]), tuple(decoder.input_shape[1:])
    if code_shape != decoder_shape:
        raise ValueError(f"the encoder gives codes of shape {code_shape}, the decoder takes {decoder_shape}.")
    sample_shape, output_shape = tuple(encoder.input_shape[1:]), tuple(decoder.output_shape[1:])
    if sample_shape != output_shape:
        raise ValueError(f"the samples have shape {sample_shape}, but the decoder returns {output_shape}.")
    encoder.name, decoder.name = "encoder", "decoder"
    inputs = keras.Input(sample_shape, name="samples")
    model = keras.Model(inputs, decoder(encoder(inputs)), name=name)
    model.encoder, model.decoder = encoder, decoder
    return model


def dense_autoencoder(
    n_values: int,
    hidden_sizes: Sequence[int] | int = (),
    code_size: int = 64,
    code_activation: str = "relu",
    output_activation: str = "sigmoid",
) -> keras.Model:
    """Return an autoencoder of dense layers, the same sizes forwards and backwards.

    With the default settings and 784 values this is the network of chapter 1: 784, 64, 784. Hidden layers use
    the rectifier. The deep form follows Hinton and Salakhutdinov, Science 313 (2006).

    Args:
        n_values: values in one sample.
        hidden_sizes: sizes of the layers between input and code, from the input on; the decoder has them in
            reverse order. One number is one layer.
        code_size: values in one code.
        code_activation: activation of the code, such as "relu" or "linear".
        output_activation: "sigmoid" for samples in [0, 1], "linear" for others.

    Returns:
        A model from (n, n_values) to (n, n_values) with ``encoder`` and ``decoder``, see `autoencoder`.

    Raises:
        ValueError: a size that is no whole number of at least 1, or an activation that is not known.
    """
    # Keras refuses NumPy's integers, which is what a search over np.arange gives.
    n_values = check_count(n_values, "n_values")
    sizes = [check_count(size, "every size in hidden_sizes") for size in _in_a_row(hidden_sizes)]
    code_size = check_count(code_size, "code_size")
    check_choice(output_activation, "output_activation", ("sigmoid", "linear"))
    encoder = keras.Sequential(
        [
            keras.Input((n_values,)),
            *(layers.Dense(size, activation="relu") for size in sizes),
            layers.Dense(code_size, activation=code_activation, name="code"),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((code_size,)),
            *(layers.Dense(size, activation="relu") for size in reversed(sizes)),
            layers.Dense(n_values, activation=output_activation, name="reconstruction"),
        ]
    )
    return autoencoder(encoder, decoder)


def _in_a_row(sizes: Sequence[int] | int) -> Sequence[int]:
    return sizes if np.iterable(sizes) else (sizes,)
