"""Make the trained detectors that come with the library: `python -m tools.ship_detector`.

    python -m tools.ship_detector                 both detectors, without a look at the test patients
    python -m tools.ship_detector --test          and how well they do on those, put into their notes
    python -m tools.ship_detector one_lead        only this one

The network learns from the beats that experts call normal in the records of DS1 of the MIT-BIH Arrhythmia
Database. The thresholds are chosen on DS1, too: each half of its patients is scored by a network that was
trained on the other half, and a threshold is the lowest at which they have no more false alarms an hour than
it says, all patients together; see `dae_utils.signals.judging` for what counts as false. Only weights and
numbers are stored. The same machine and versions give the same files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from dae_utils.data.ecg import AAMI_CLASS, Record
from dae_utils.data.mitdb import DS1_RECORDS, DS2_RECORDS
from dae_utils.data.records import read_record
from dae_utils.signals.finder import find_beats
from dae_utils.signals.heart_detector import FIRST_SECONDS, HeartDetector, TrainedFor
from dae_utils.signals.judging import Judgement, judge, judge_all
from dae_utils.signals.matching import match_beats
from dae_utils.signals.own_heart import (
    DenseNetwork,
    OwnHeart,
    OwnHeartSettings,
    Pace,
    difference_rows,
    learn_template,
)
from dae_utils.signals.scored import ScoredRecording
from dae_utils.signals.shipped import SHIPPED_FOLDER, save_detector
from dae_utils.training import fit

RATE, BEFORE, AFTER = 360, 140 / 360, 0.5
LEADS = {
    "one_lead": (("MLII", "II"),),
    # The second lead of DS1 is V1 in 20 records, and V4 and V5 in one each.
    "two_leads": (("MLII", "II"), ("V1", "V5", "V2", "V4")),
}
FALSE_ALARMS = (2, 5, 10, 20)  # an hour
HIDDEN, CODE = 128, 16
NOISE = 0.3
EPOCHS = 10
N_DRAWS = 1000
TRAINED_ON = "normal beats of the 22 records of DS1, MIT-BIH Arrhythmia Database, 1975 to 1979"
SAME_MAN_AS_201 = 202
_NORMAL = 0


@dataclass(frozen=True, eq=False)
class Heart:
    """The beats of one record as a detector sees them.

    Args:
        windows, rhythm, is_good: as in `Beats`.
        is_normal: whether the experts call a beat normal.
        is_first: whether it is a good one of the first minutes.
    """

    windows: NDArray[np.float32]
    rhythm: NDArray[np.float64]
    is_good: NDArray[np.bool_]
    is_normal: NDArray[np.bool_]
    is_first: NDArray[np.bool_]


def heart_of(record: Record, detector: HeartDetector, first_seconds: float = FIRST_SECONDS) -> Heart:
    """Return the beats that are found in a record, with what the experts call them."""
    columns, _ = detector.choose_leads(record)
    wanted = detector.trained_for
    beats = find_beats(
        record,
        main_lead=columns[0],
        window_leads=columns,
        before_seconds=wanted.before_seconds,
        after_seconds=wanted.after_seconds,
        converter_range=None,
    )
    pairs = match_beats(beats.sample, record.r_peaks, sampling_rate=record.sampling_rate)
    is_normal = np.zeros(len(beats), np.bool_)
    kinds = np.array([AAMI_CLASS[symbol] for symbol in record.symbols])
    is_normal[pairs.found] = kinds[pairs.annotated] == _NORMAL
    is_first = beats.is_good & (beats.time < first_seconds)
    return Heart(beats.windows, beats.rhythm, beats.is_good, is_normal, is_first)


def train(detector: HeartDetector, hearts: Sequence[Heart], epochs: int, seed: int = 0) -> HeartDetector:
    """Return the detector with a network that was trained on the normal beats of `hearts`."""
    timing = [Pace().timing(heart.rhythm) for heart in hearts]
    normal = np.concatenate([rows[heart.is_normal] for rows, heart in zip(timing, hearts, strict=True)])
    early, pause = normal.std(axis=0).tolist()
    rest = []
    for rows, heart in zip(timing, hearts, strict=True):
        irregular = (rows / (early, pause)).clip(0, 4).sum(axis=1)[heart.is_first]
        template, _ = learn_template(heart.windows[heart.is_first], irregular)
        rest.append(difference_rows(heart.windows[heart.is_good & heart.is_normal], template))
    x = np.concatenate(rest)
    unit = float(x.std())
    keras.utils.set_random_seed(seed)
    size = x.shape[1]
    model = keras.Sequential(
        [
            keras.Input((size,)),
            layers.Dense(HIDDEN, activation="elu"),
            layers.Dense(CODE),
            layers.Dense(HIDDEN, activation="elu"),
            layers.Dense(size),
        ]
    )
    fit(
        model,
        x / np.float32(unit),
        corrupt=_with_noise,
        epochs=epochs,
        batch_size=128,
        learning_rate=1e-3,
        seed=seed,
        description=f"network of {detector.name}",
    )
    arrays = [np.asarray(array, np.float32) for array in model.get_weights()]
    network = DenseNetwork(arrays[::2], arrays[1::2], ("elu", "linear", "elu", "linear"))
    made = {**detector.made, "network": f"{size}-{HIDDEN}-{CODE}-{HIDDEN}-{size}", "normal_beats": len(x)}
    return replace(detector, settings=OwnHeartSettings(network, unit, (early, pause)), made=made)


def _with_noise(generator: np.random.Generator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x + np.float32(NOISE) * generator.standard_normal(x.shape, np.float32)


def choose_thresholds(
    records: Sequence[Record], scored: Sequence[ScoredRecording]
) -> tuple[dict[float, float], dict[str, Any]]:
    """Return the lowest threshold for each number of false alarms an hour, and what each does here."""
    scores = np.concatenate(
        [[beat.score for beat in one.beats if beat.score == beat.score] for one in scored]
    )
    thresholds: dict[float, float] = {}
    told = {}
    waiting = sorted(FALSE_ALARMS, reverse=True)
    for threshold in np.quantile(scores, np.linspace(0.5, 0.9995, 200)):
        each = [judge(record, one.at(threshold)) for record, one in zip(records, scored, strict=True)]
        together = judge_all(each)
        while waiting and together.false_alarms_per_hour <= waiting[0]:
            number = float(waiting.pop(0))
            thresholds[number] = round(float(threshold), 4)
            told[f"{number:g}"] = _told(records, each)
    if waiting:
        raise ValueError(f"no threshold keeps these records under {waiting[0]} false alarms an hour.")
    return thresholds, told


def _told(records: Sequence[Record], each: Sequence[Judgement]) -> dict[str, Any]:
    """Return what the alarms on several records are worth, together and for each of them."""
    together = judge_all(each)
    return {
        "records": together.n_records,
        "v_episodes": together.v_episodes,
        "v_found": together.v_found,
        "false_alarms_per_hour": round(together.false_alarms_per_hour, 2),
        "false_in_fibrillation": together.false_in_fibrillation,
        "false_alarms": together.false_alarms,
        "v_found_interval": _over_patients(each, "v_found", "v_episodes"),
        "false_alarms_per_hour_interval": _over_patients(each, "false_alarms", "hours"),
        "silenced_share": round(together.silenced_hours / (together.silenced_hours + together.hours), 3),
        # Record: false alarms an hour, episodes of V beats found, and all of them.
        "each": {
            record.name: [round(one.false_alarms_per_hour, 1), one.v_found, one.v_episodes]
            for record, one in zip(records, each, strict=True)
        },
    }


def _over_patients(each: Sequence[Judgement], above: str, below: str) -> list[float]:
    """Return the 95 % interval of a ratio of sums when patients are drawn anew (percentile bootstrap).

    Empty where there is nothing to divide by.
    """
    tops, bottoms = (np.array([getattr(one, name) for one in each], float) for name in (above, below))
    draws = np.random.default_rng(0).integers(len(each), size=(N_DRAWS, len(each)))
    sums = bottoms[draws].sum(axis=1)
    ratios = tops[draws].sum(axis=1)[sums > 0] / sums[sums > 0]
    return [round(float(end), 3) for end in np.quantile(ratios, (0.025, 0.975))] if len(ratios) else []


def make_detector(
    name: str,
    lead_names: tuple[tuple[str, ...], ...],
    records: Sequence[Record],
    *,
    epochs: int = EPOCHS,
    first_seconds: float = FIRST_SECONDS,
    trained_on: str = TRAINED_ON,
) -> HeartDetector:
    """Return a detector that is trained on all `records`, with thresholds from both halves of them.

    Args:
        name: what it will be called.
        lead_names: see `TrainedFor`.
        records: annotated, two at least; every second one belongs to the other half.
        epochs: of each of the three trainings.
        first_seconds: how long a heart is learnt.
        trained_on: in words, for the note.
    """
    none = OwnHeartSettings(DenseNetwork((), (), ()), 1.0, (1.0, 1.0))
    trained_for = TrainedFor(RATE, lead_names, BEFORE, AFTER)
    empty = HeartDetector(name, trained_for, none, {FALSE_ALARMS[0]: 0.0}, made={"trained_on": trained_on})
    hearts = [heart_of(record, empty, first_seconds) for record in records]
    scored: list[ScoredRecording] = [None] * len(records)  # type: ignore[list-item]
    for half in (0, 1):
        learnt = train(empty, hearts[1 - half :: 2], epochs)
        for number in range(half, len(records), 2):
            scored[number] = learnt.score(
                records[number], false_alarms_per_hour=FALSE_ALARMS[0], first_seconds=first_seconds
            )
    thresholds, told = choose_thresholds(records, scored)
    final = train(empty, hearts, epochs)
    first = [
        OwnHeart(heart.windows[heart.is_first], heart.rhythm[heart.is_first], final.settings)
        for heart in hearts
    ]
    return replace(
        final,
        thresholds=thresholds,
        largest_error=round(max(heart.usual_error for heart in first), 4),
        made={**final.made, "chosen_on": told},
    )


def tested(detector: HeartDetector, records: Sequence[Record]) -> Mapping[str, Any]:
    """Return what the alarms of a detector are worth on records that it has not seen, by threshold."""
    scored = [detector.score(record) for record in records]
    found = {}
    for number, threshold in detector.thresholds.items():
        each = [judge(record, one.at(threshold)) for record, one in zip(records, scored, strict=True)]
        found[f"{number:g}"] = _told(records, each)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the detectors and store them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.ship_detector", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or both of {', '.join(LEADS)}")
    parser.add_argument("--test", action="store_true", help="judge them on DS2 as well, without record 202")
    parser.add_argument("--folder", type=Path, default=SHIPPED_FOLDER, help="where to store them")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in LEADS:
            parser.error(f"there is no detector {name!r}; choose from {', '.join(LEADS)}")
    records = [read_record(number) for number in DS1_RECORDS]
    for name in options.names or LEADS:
        detector = make_detector(name, LEADS[name], records)
        if options.test:
            others = [read_record(number) for number in DS2_RECORDS if number != SAME_MAN_AS_201]
            # The files hold half precision; what is tested is what is shipped.
            detector = replace(detector, made={**detector.made, "tested_on": tested(detector, others)})
        path = save_detector(detector, options.folder)
        print(f"{path.name}: {detector.thresholds}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
