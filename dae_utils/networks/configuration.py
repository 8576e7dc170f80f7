"""A network's configuration, without the names that Keras counts up."""

from __future__ import annotations

__all__ = ["without_names"]

_KEYS_OF_NAMES = {"name", "keras_history", "input_layers", "output_layers"}


def without_names(config: object) -> object:
    """Return a configuration with the names of layers replaced by numbers, in the order of their appearance.

    Keras numbers the names of the layers of a process, so that the same network built twice has two
    configurations; these two become one.

    Args:
        config: what ``get_config`` or ``keras.saving.serialize_keras_object`` returns.
    """
    return _replaced(config, {}, is_name=False)


def _replaced(config: object, numbers: dict[str, int], is_name: bool) -> object:
    if isinstance(config, dict):
        return {
            key: _replaced(value, numbers, is_name or key in _KEYS_OF_NAMES) for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return [_replaced(value, numbers, is_name) for value in config]
    if is_name and isinstance(config, str):
        return numbers.setdefault(config, len(numbers))
    return config
