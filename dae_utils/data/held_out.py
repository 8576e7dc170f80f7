"""Which samples of each data set are set aside: one definition for the whole book.

Decisions (settings, thresholds, when to stop) are made on the held-out samples, and the test samples are
looked at once, at the end. Nothing here loads data or learns from it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dae_utils.validation import check_count

if TYPE_CHECKING:
    from dae_utils.data.beats import Heartbeats
    from dae_utils.data.images import ImageDataset

__all__ = ["HELD_OUT_RECORDS", "Parts", "held_out_heartbeats", "held_out_images", "is_held_out"]

_BLOCK = 1000
_EVERY = 10

# Every fourth of the 22 records of DS1 in their order, as in chapter 6 of the first edition. All five classes
# occur among them.
HELD_OUT_RECORDS = (101, 112, 118, 201, 208, 223)


@dataclass(frozen=True, eq=False)
class Parts:
    """Samples to train on, samples held out for decisions, and test samples; arrays are read-only.

    Attributes:
        x_train, x_held_out, x_test: samples, shapes (n, ...), as in the data set.
        y_train, y_held_out, y_test: their labels, int64, shapes (n,).
        rows_train, rows_held_out, rows_test: where they stand in the data set, int64, shapes (n,): of images
            in the publisher's training part (test images: in the test part), of beats in all that was loaded.
        groups_train, groups_held_out, groups_test: for intervals, whose each sample is, int64, shapes (n,):
            of beats the record. None for images, whose files do not say who wrote or photographed what.
    """

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_held_out: NDArray[np.float32]
    y_held_out: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    rows_train: NDArray[np.int64]
    rows_held_out: NDArray[np.int64]
    rows_test: NDArray[np.int64]
    groups_train: NDArray[np.int64] | None = None
    groups_held_out: NDArray[np.int64] | None = None
    groups_test: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            array = getattr(self, item.name)
            if array is not None:
                array.flags.writeable = False


def is_held_out(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which training images are held out, given their places in the publisher's file.

    Of every ten blocks of 1000 consecutive images the last one: images 9000 to 9999, 19 000 to 19 999 and so
    on.
    """
    held: NDArray[np.bool_] = rows // _BLOCK % _EVERY == _EVERY - 1
    return held


def held_out_images(images: ImageDataset, step: int = 1) -> Parts:
    """Return MNIST, Fashion-MNIST or CIFAR-10 in three parts, the publisher's test images being the test.

    Held out are blocks of 1000 consecutive training images, every tenth block: 6000 images of MNIST and
    Fashion-MNIST, 5000 of CIFAR-10. A random tenth would not do for MNIST. Some 500 people wrote its training
    images, and the file keeps each person's digits together; so a random tenth comes from hands that the
    network has seen, and looks easier than the test, which other people wrote. The last tenth would not do
    either, since some blocks are harder than others: blocks from all over the file are few enough writers
    each and mixed enough together. In the files of the other two sets neighbours are no more alike than
    others; the same rule serves, so that the book has one. Each part then has about as many images of every
    class as its size suggests, not exactly.

    Args:
        images: what `load_mnist`, `load_fashion_mnist` or `load_cifar10` returns.
        step: keep every step-th image of the file in each part, for the quick profile: no image changes its
            part.

    Returns:
        The three parts, copies.

    Raises:
        ValueError: a step that is no whole number from 1 on, or that leaves a part empty.
    """
    check_count(step, "step")
    rows = np.arange(0, len(images.x_train), step)
    held = is_held_out(rows)
    train, held_out, test = rows[~held], rows[held], np.arange(0, len(images.x_test), step)
    if not (len(train) and len(held_out)):
        raise ValueError(f"step {step} leaves no training or no held-out image of {len(images.x_train)}.")
    return Parts(
        images.x_train[train],
        images.y_train[train],
        images.x_train[held_out],
        images.y_train[held_out],
        images.x_test[test],
        images.y_test[test],
        train,
        held_out,
        test,
    )


def held_out_heartbeats(heartbeats: Heartbeats, *, with_202: bool = False) -> Parts:
    """Return the beats of MIT-BIH in three parts that share no patient.

    The test is DS2 of de Chazal et al. (2004), training and held-out beats are from DS1, held out by record:
    `HELD_OUT_RECORDS`. Beats of one patient resemble each other, so a random share of beats would say nothing
    about the next patient. The paced records 102, 104, 107 and 217 are in no part. Records 201 (held out) and
    202 (DS2) are of the same man, so 202 is left out of the test.

    Args:
        heartbeats: what `load_heartbeats` or `simulate_heartbeats` returns.
        with_202: keep record 202 in the test, for comparison with papers, which do: name that difference.

    Returns:
        The three parts, with the records as groups.

    Raises:
        ValueError: beats that don't name their record, or of which a part stays empty.
    """
    from dae_utils.data.mitdb import SIMULATED_OFFSET
    from dae_utils.data.splits import inter_patient_split

    split = inter_patient_split(heartbeats, separate_201_202=not with_202)
    number = heartbeats.record - (SIMULATED_OFFSET if heartbeats.simulated else 0)
    held = np.isin(number[split.train], HELD_OUT_RECORDS)
    train, held_out, test = split.train[~held], split.train[held], split.test
    if not (len(train) and len(held_out)):
        raise ValueError("these beats leave a part empty: load those of all records.")
    x, y, record = heartbeats.beats, heartbeats.labels, heartbeats.record
    return Parts(
        x[train],
        y[train],
        x[held_out],
        y[held_out],
        x[test],
        y[test],
        train,
        held_out,
        test,
        record[train],
        record[held_out],
        record[test],
    )
