"""How heartbeats are divided into those to train on and those to test on: by beat, or by patient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dae_utils.data.beats import Heartbeats
from dae_utils.data.mitdb import DS1_RECORDS, DS2_RECORDS, MITDB_RECORDS, SIMULATED_OFFSET
from dae_utils.data.storage import one_line

__all__ = ["Split", "inter_patient_split", "random_split"]


class Split(NamedTuple):
    """Row numbers of the beats for training and for testing, both sorted, int64."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def random_split(heartbeats: Heartbeats, test_fraction: float = 0.2, seed: int = 0) -> Split:
    """Split the beats at random, class by class, as the Kaggle files are split.

    Beware: beats of one patient stand on both sides, next to each other in time. What a model scores on the
    test side tells how well it knows these patients, not how it does on a new one; for that use
    `inter_patient_split`.

    Args:
        heartbeats: the beats.
        test_fraction: above 0 and below 1.
        seed: decides which beats go to which side.

    Returns:
        Row numbers of the two sides.

    Raises:
        ValueError: a class that has too few beats to stand on both sides, or no such fraction.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must lie between 0 and 1, not {test_fraction}.")
    try:
        train, test = train_test_split(
            np.arange(len(heartbeats)),
            test_size=test_fraction,
            random_state=seed,
            stratify=heartbeats.labels,
        )
    except ValueError as error:
        raise ValueError(
            f"These {len(heartbeats)} beats can't be split ({one_line(error)}).\n"
            "Each class needs beats on both sides: pass more beats, or leave that class out."
        ) from error
    return Split(np.sort(train), np.sort(test))


def inter_patient_split(heartbeats: Heartbeats, separate_201_202: bool = False) -> Split:
    """Split the beats by patient: train on the records of DS1, test on those of DS2 (de Chazal et al. 2004).

    The four paced records 102, 104, 107 and 217 are left out, and with them nearly all of class Q: 8 beats
    are left on one side and 7 on the other.

    One patient stands on both sides all the same: records 201 (DS1) and 202 (DS2) are of the same man. That
    is how the split is used everywhere, so it is the default, for comparison; `separate_201_202=True` leaves
    202 out of the test side.

    Args:
        heartbeats: the beats of all records, real or simulated.
        separate_201_202: whether to leave record 202 out.

    Returns:
        Row numbers of the two sides.

    Raises:
        ValueError: beats that don't name their record (Kaggle's) or whose records fill one side only.
    """
    number = heartbeats.record - (SIMULATED_OFFSET if heartbeats.simulated else 0)
    known = np.isin(number, MITDB_RECORDS)
    if not known.all():
        raise ValueError(
            f"{int((~known).sum())} beats belong to no MIT-BIH record (first: {number[~known][0]}), "
            "so the patients can't be kept apart.\nLoad the beats with load_heartbeats()."
        )
    test_records = [record for record in DS2_RECORDS if not (separate_201_202 and record == 202)]
    split = Split(np.flatnonzero(np.isin(number, DS1_RECORDS)), np.flatnonzero(np.isin(number, test_records)))
    if not (len(split.train) and len(split.test)):
        raise ValueError("These beats come from one side of the split only: load those of all records.")
    return split
