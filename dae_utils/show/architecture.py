"""What a Keras model consists of: its layers in order, with shapes, connections and the half they belong to.

A model is read by its public description alone, `get_config`, which Keras also saves models by. Nothing here
draws, and nothing here computes with a model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from dae_utils.show.layer_words import FOLDABLE, activation_of, operation_of

__all__ = ["Block", "read_architecture"]

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Block:
    """One layer, with what it gives.

    Attributes:
        key: where the layer stands, such as "encoder/dense"; no two blocks have the same.
        name: the name of the layer.
        operation: what it does, in words, such as "max-pooling" with its window.
        details: its activation, and layers folded into it that keep its shape, such as dropout.
        shapes: of one sample, for every output.
        n_weights: all of them, trained or not.
        part: "encoder", "code", "decoder" or "".
        inputs: keys of the blocks that it takes.
        is_input: it is an input of the whole model.
        is_box: it stands for a nested model that is drawn as one box.
        repeats: how many equal layers in a row it stands for.
    """

    key: str
    name: str
    operation: str
    details: tuple[str, ...]
    shapes: tuple[Shape, ...]
    n_weights: int
    part: str = ""
    inputs: tuple[str, ...] = ()
    is_input: bool = False
    is_box: bool = False
    repeats: int = 1

    @property
    def shape(self) -> Shape:
        """The shape of its first output for one sample."""
        return self.shapes[0]

    @property
    def size(self) -> int:
        """How many values it gives for one sample, with 1 for an axis of any length."""
        return math.prod(length or 1 for length in self.shape)


def read_architecture(model: keras.Model) -> list[Block]:
    """Return the blocks of a model, each after those that it takes.

    Encoder and decoder are told apart by nested models with these names, else by the narrowest layer between
    an input and an output of the same shape. Layers that keep the shape, such as an activation, batch
    normalisation or dropout, are folded into the layer before them; equal layers in a row into one.

    Raises:
        ValueError: a model that does not know its shapes yet, or a subclassed one whose parts are not known.
    """
    if not model.built or not (isinstance(model, keras.Sequential) or _is_functional(model)):
        model = _joined(model)
    reader = _Reader()
    if isinstance(model, keras.Sequential):
        first = _input_block(str(model.name) + " input", model.input_shape)
        reader.blocks.append(first)
        reader.read_model(model, [first.key], "", _part_of(model.name))
    else:
        reader.read_model(model, None, "", _part_of(model.name))
    blocks = _folded(reader.blocks)
    return _without_repeats(_with_parts(blocks))


def _joined(model: keras.Model) -> keras.Model:
    """Return one model for a subclassed one that consists of an encoder and a decoder."""
    parts = [getattr(model, name, None) for name in ("encoder", "decoder")]
    known = [part for part in parts if isinstance(part, keras.Model) and part.built]
    if len(known) == 2:
        return keras.Sequential([keras.Input(known[0].input_shape[1:]), *known], name=model.name)
    raise ValueError(
        f"the layers of {model.name!r} do not know their shapes or their order: begin a Sequential with "
        "keras.Input(shape), and draw a subclassed model by its parts, such as model.encoder."
    )


def _is_functional(model: object) -> bool:
    return (
        isinstance(model, keras.Model)
        and hasattr(model, "operations")
        and not isinstance(model, keras.Sequential)
    )


def _part_of(name: str, above: str = "") -> str:
    """Return which half a nested model is, by its name, or the half that it is nested in."""
    found = [part for part in ("encoder", "decoder") if re.search(rf"(?<!auto){part}", name.lower())]
    return found[0] if len(found) == 1 else above


def _input_block(name: str, shape: Sequence[int | None]) -> Block:
    return Block(name, name, "input", (), (tuple(shape[1:]),), 0, is_input=True)


class _Reader:
    """Collects blocks while it goes through nested models."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def read_model(self, model: Any, given: list[str] | None, prefix: str, part: str) -> list[str]:
        """Read a model that takes the blocks `given`, or has inputs of its own; return what it gives."""
        if isinstance(model, keras.Sequential):
            keys = given or []
            for layer in model.layers:
                keys = self.read_layer(layer, keys, prefix, part)
            return keys
        try:
            config = model.get_config()
        except NotImplementedError as error:
            raise ValueError(
                f"a layer of {model.name!r} does not describe itself: give its class a get_config, {error}"
            ) from error
        return self.read_graph(model, config, given, prefix, part)

    def read_graph(
        self, model: Any, config: dict[str, Any], given: list[str] | None, prefix: str, part: str
    ) -> list[str]:
        """Read a functional model by its description."""
        produced: dict[tuple[str, int], list[str]] = {}
        for number, (name, node, _) in enumerate(_histories(config["input_layers"])):
            if given is None:
                shape = model.inputs[number].shape
                self.blocks.append(_input_block(f"{prefix}{name}", shape))
                produced[name, node] = [f"{prefix}{name}"]
            else:
                produced[name, node] = [given[min(number, len(given) - 1)]]
        operations = {operation.name: operation for operation in model.operations}

        def source(name: str, node: int, which: int) -> str | None:
            # Keras counts the uses of a nested model from 0 or from 1: its making may be a use too.
            keys = produced.get((name, node)) or produced.get((name, node - 1))
            return None if keys is None else _output(keys, which)

        waiting = [
            (entry["name"], number, node)
            for entry in config["layers"]
            for number, node in enumerate(entry["inbound_nodes"])
        ]
        # In order already, except that a layer which is used twice stands where it is used first.
        for _ in range(len(waiting) ** 2):
            if not waiting:
                break
            name, number, node = waiting.pop(0)
            sources = [source(*history) for history in _histories(node)]
            if None in sources:
                waiting.append((name, number, node))
                continue
            suffix = f"@{number}" if f"{prefix}{name}" in {block.key for block in self.blocks} else ""
            keys = list(dict.fromkeys(key for key in sources if key is not None))
            produced[name, number] = self.read_layer(operations[name], keys, prefix, part, suffix)
        given_out = [source(*history) for history in _histories(config["output_layers"])]
        return [key for key in given_out if key is not None]

    def read_layer(
        self, layer: Any, sources: list[str], prefix: str, part: str, suffix: str = ""
    ) -> list[str]:
        """Read one layer or nested model; return the keys of what it gives."""
        key = f"{prefix}{layer.name}{suffix}"
        nested = isinstance(layer, keras.Sequential) or _is_functional(layer)
        own_part = _part_of(layer.name, part) if nested else part
        is_box = nested and own_part == part and _has_attention(layer)
        if nested and not is_box:
            return self.read_model(layer, sources, f"{key}/", own_part)
        if not nested and isinstance(layer, keras.layers.InputLayer):
            return sources
        given = layer.output
        shapes = tuple(
            tuple(one.shape[1:]) for one in (given if isinstance(given, list | tuple) else [given])
        )
        weights = layer.count_params() if isinstance(layer, keras.layers.Layer) else 0
        operation = re.sub(r"[\W\d_]+$", "", layer.name).replace("_", " ") if is_box else operation_of(layer)
        details = (f"{len(layer.layers)} layers",) if is_box else activation_of(layer)
        block = Block(
            key, layer.name, operation, details, shapes, weights, part, tuple(sources), is_box=is_box
        )
        self.blocks.append(block)
        return [key]


def _output(keys: list[str], which: int) -> str:
    """Return the block behind one output; a layer with several outputs is one block."""
    return keys[which] if which < len(keys) else keys[-1]


def _has_attention(model: Any) -> bool:
    return any(
        "Attention" in type(layer).__name__ or (hasattr(layer, "layers") and _has_attention(layer))
        for layer in model.layers
    )


def _histories(config: Any) -> Iterator[tuple[str, int, int]]:
    """Yield (layer, node, output) for every tensor that a part of a description names."""
    if isinstance(config, dict) and config.get("class_name") == "__keras_tensor__":
        yield from _histories(config["config"]["keras_history"])
    elif isinstance(config, dict):
        for value in config.values():
            yield from _histories(value)
    elif isinstance(config, list | tuple):
        if len(config) == 3 and isinstance(config[0], str) and isinstance(config[1], int):
            yield config[0], config[1], config[2]
        else:
            for value in config:
                yield from _histories(value)


def _folded(blocks: list[Block]) -> list[Block]:
    """Return the blocks with those that only change values, not shapes, folded into the one before."""
    takers: dict[str, int] = {}
    for block in blocks:
        for key in block.inputs:
            takers[key] = takers.get(key, 0) + 1
    kept: dict[str, Block] = {}
    instead: dict[str, str] = {}
    for block in blocks:
        inputs = tuple(instead.get(key, key) for key in block.inputs)
        before = kept.get(inputs[0]) if len(inputs) == 1 else None
        alone = len(block.inputs) == 1 and takers[block.inputs[0]] == 1
        if (
            before is not None
            and alone
            and not before.is_input
            and before.shape == block.shape
            and block.operation.split(" ")[0] in FOLDABLE
        ):
            details = (*before.details, block.operation, *block.details)
            weights = before.n_weights + block.n_weights
            kept[before.key] = replace(before, details=details, n_weights=weights)
            instead[block.key] = before.key
        else:
            kept[block.key] = replace(block, inputs=inputs)
    return list(kept.values())


def _with_parts(blocks: list[Block]) -> list[Block]:
    """Return the blocks with the code marked, and the halves where the model does not name them."""
    named = {block.part for block in blocks if block.part}
    if "encoder" in named:
        return [
            replace(block, part="code")
            if block.part == "encoder" and _leaves_encoder(block, blocks)
            else block
            for block in blocks
        ]
    inputs = {block.key for block in blocks if block.is_input}
    damages = {
        b.key for b in blocks if set(b.inputs) <= inputs and b.operation.startswith(("noise", "dropout"))
    }
    layers = [block for block in blocks if not block.is_input and block.key not in damages]
    if named or len(layers) < 2 or layers[-1].shape != blocks[0].shape:
        return blocks
    code = _narrowest(blocks[0], layers)
    if code is None:
        return blocks
    before = _ancestors(code, {block.key: block for block in blocks})
    return [
        block
        if block.is_input or block.key in damages
        else replace(
            block,
            part="code" if block is code else "encoder" if block.key in before else "decoder",
        )
        for block in blocks
    ]


def _leaves_encoder(block: Block, blocks: list[Block]) -> bool:
    """Say whether an encoder gives this block: nothing inside the encoder takes it."""
    takers = [other for other in blocks if block.key in other.inputs]
    return all(taker.part != "encoder" for taker in takers)


def _narrowest(first: Block, layers: list[Block]) -> Block | None:
    """Return the code of a network that does not name it, or None for one that is no autoencoder.

    It is a hidden layer called "code", the first of the narrowest ones, or without a narrow one the middle.
    """
    hidden = layers[:-1]
    for block in hidden:
        if re.search(r"\b(code|latent|bottleneck|z)\b", block.name.lower().replace("_", " ")):
            return block
    least = min(block.size for block in hidden)
    if least >= first.size:
        # Wider than its input, or with connections around the middle: only a plain chain has a middle.
        is_chain = all(len(block.inputs) == 1 for block in layers)
        return hidden[len(hidden) // 2] if is_chain else None
    return next(block for block in hidden if block.size == least)


def _ancestors(block: Block, by_key: dict[str, Block]) -> set[str]:
    found: set[str] = set()
    waiting = list(block.inputs)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting.extend(by_key[key].inputs)
    return found


def _without_repeats(blocks: list[Block]) -> list[Block]:
    """Return the blocks with three or more equal layers in a row as one."""
    takers = {key: [block for block in blocks if key in block.inputs] for key in (b.key for b in blocks)}

    def continues(block: Block, run: list[Block]) -> bool:
        last = run[-1]
        same = (block.operation, block.details, block.shapes, block.part, block.is_box) == (
            last.operation,
            last.details,
            last.shapes,
            last.part,
            last.is_box,
        )
        return same and block.inputs == (last.key,) and len(takers[last.key]) == 1

    runs: list[list[Block]] = []
    for block in blocks:
        if runs and continues(block, runs[-1]):
            runs[-1].append(block)
        else:
            runs.append([block])
    result: list[Block] = []
    instead: dict[str, str] = {}
    for run in runs:
        if len(run) > 2:
            weights = sum(block.n_weights for block in run)
            instead |= {block.key: run[0].key for block in run}
            run = [replace(run[0], repeats=len(run), n_weights=weights)]
        result += [replace(b, inputs=tuple(instead.get(key, key) for key in b.inputs)) for b in run]
    return result
