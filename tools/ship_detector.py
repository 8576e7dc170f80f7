"""Make the trained detectors that come with the library: `python -m tools.ship_detector`.

    python -m tools.ship_detector                 both detectors, without a look at the test patients
    python -m tools.ship_detector --test          and how well they do on those, put into their notes
    python -m tools.ship_detector one_lead        only this one

The alarm is the one that the study `06_alarms` calls "network and size", and its settings are chosen as
there. The network learns how normal beats of the records of DS1 of the MIT-BIH Arrhythmia Database differ
from their patient's template. The rule and the thresholds are chosen on DS1, too: each quarter of its
patients is watched with networks that were trained on the other three, with three seeds. A threshold for N
false alarms an hour is the lowest from which on these patients together have at most N / 2 by the strict
count, since new patients may have more; the rule is the one that then, for N = 10, finds most episodes of
ventricular beats.

In the study the mere size of the difference, without a network, finds no less. So the same is done with it as
well, and stands in the notes as `without_network`. Only weights and numbers are stored. The same machine and
versions give the same files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from dae_utils.data.ecg import Record
from dae_utils.data.mitdb import DS1_RECORDS, DS2_RECORDS
from dae_utils.data.records import read_record
from dae_utils.signals.alarms import AlarmCounter, AlarmCounts
from dae_utils.signals.beats import Beats
from dae_utils.signals.finder import find_beats
from dae_utils.signals.heart_detector import FIRST_SECONDS, HeartDetector, TrainedFor
from dae_utils.signals.judging import counter_of, in_fibrillation, judge
from dae_utils.signals.learnt_differences import DenseNetwork, LearntDifferences
from dae_utils.signals.shipped import SHIPPED_FOLDER, save_detector
from dae_utils.signals.ventricular import AlarmRule, Error, VentricularAlarm, difference_size
from dae_utils.training import fit

RATE, BEFORE, AFTER = 360, 140 / 360, 0.5
LEADS = {
    "one_lead": (("MLII", "II"),),
    # The second lead of DS1 is V1 in 20 records, and V4 and V5 in one each.
    "two_leads": (("MLII", "II"), ("V1", "V5", "V2", "V4")),
}
FALSE_ALARMS = (2, 5, 10, 20)  # an hour
CHOSEN_AT = 10
SHARE_OF_PROMISE = 0.5
N_GROUPS = 4
SEEDS = (0, 1, 2)
HIDDEN, CODE = 64, 8
NOISE = 0.3
EPOCHS = 10
EVERY = 2  # every second normal difference teaches
LADDER = np.arange(0.5, 8.0, 0.02)  # thresholds
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4)
IRREGULAR_SHARES = (0.0, 0.5, 1.0)
IRREGULAR_BONUSES = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.4)
IRREGULARITY_LIMIT = 0.10
N_DRAWS = 1000
TRAINED_ON = "normal beats of the 22 records of DS1, MIT-BIH Arrhythmia Database, 1975 to 1979"
SAME_MAN_AS_201 = 202

Columns = NDArray[np.float64]  # shape, timing and irregularity of all beats of a record, (3, n)


@dataclass(frozen=True, eq=False)
class Patient:
    """One record as a detector sees it.

    Args:
        found: the beats in its signal.
        alarm: makes one for it that uses an error.
        counter: counts its alarms.
        differences: (n, values) of its normal beats from its own template, after the first minutes.
    """

    found: Beats
    alarm: Callable[[Error], VentricularAlarm]
    counter: AlarmCounter
    differences: NDArray[np.float64]

    def columns(self, error: Error) -> Columns:
        """Return what the scores of its beats are made of, by an error."""
        beats = self.alarm(error).score_beats(self.found)
        return np.array([(beat.shape, beat.timing, beat.irregularity) for beat in beats]).T

    def first_error(self, error: Error) -> float:
        """Return the usual error of its first minutes."""
        alarm = self.alarm(error)
        alarm.score_beats(self.found)
        return alarm.first_error


def patient_of(record: Record, detector: HeartDetector, first_seconds: float = FIRST_SECONDS) -> Patient:
    """Return a record as a detector sees it; of the detector only what it was trained for is used."""
    columns, _ = detector.choose_leads(record)
    wanted = detector.trained_for
    found = find_beats(
        record,
        main_lead=columns[0],
        window_leads=columns,
        before_seconds=wanted.before_seconds,
        after_seconds=wanted.after_seconds,
        converter_range=None,
    )

    def alarm(error: Error) -> VentricularAlarm:
        return detector.alarm(error, AlarmRule(), first_seconds)

    kept = []

    def keep(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        kept.append(rows)
        return difference_size(rows)

    beats = alarm(keep).score_beats(found)
    is_scored = np.isfinite([beat.score for beat in beats])
    counter = counter_of(record, beats, max(first_seconds, float(found.time[is_scored][0])))
    is_normal = (counter.classes == "N") & found.is_good
    # The first call was for the first minutes, whose beats have no score.
    return Patient(found, alarm, counter, np.concatenate(kept[1:])[is_normal[is_scored]])


def train(patients: Sequence[Patient], epochs: int, seed: int) -> LearntDifferences:
    """Return what the normal beats of these patients teach, with weights in half precision."""
    x = np.concatenate([patient.differences[::EVERY] for patient in patients])
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
        (x / unit).astype(np.float32),
        corrupt=_with_noise,
        epochs=epochs,
        batch_size=128,
        learning_rate=2e-3,
        seed=seed,
        description=f"network of {size} inputs",
    )
    # The files hold half precision; what is judged is what is shipped.
    arrays = [np.asarray(array).astype(np.float16).astype(np.float64) for array in model.get_weights()]
    network = DenseNetwork(arrays[::2], arrays[1::2], ("elu", "linear", "elu", "linear"))
    return LearntDifferences(network, unit)


def _with_noise(generator: np.random.Generator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x + np.float32(NOISE) * generator.standard_normal(x.shape, np.float32)


@dataclass(frozen=True, eq=False)
class Watched:
    """Patients who were watched, each by networks that had not seen them.

    Args:
        patients: as they are.
        runs: for each seed, what the scores of their beats are made of.
    """

    patients: Sequence[Patient]
    runs: Sequence[Sequence[Columns]]

    def counts(self, rule: AlarmRule) -> list[list[AlarmCounts]]:
        """Return what the alarms of a rule are worth, by seed and patient."""
        return [
            [
                patient.counter.count(rule.scores(*columns) > rule.threshold)
                for patient, columns in zip(self.patients, run, strict=True)
            ]
            for run in self.runs
        ]

    def together(self, rule: AlarmRule) -> tuple[float, float]:
        """Return the share of V episodes found and the false alarms an hour, mean of the seeds."""
        totals = [sum(of_seed) for of_seed in self.counts(rule)]
        found = [one.sensitivity for one in totals]
        return float(np.mean(found)), float(np.mean([one.false_alarms_per_hour for one in totals]))

    def with_threshold(self, rule: AlarmRule, most: float) -> AlarmRule:
        """Return a rule with the lowest threshold that keeps so many false alarms an hour.

        It is found by bisection, as if false alarms only got fewer when the threshold rises. They nearly do:
        for the detectors that ship, a scan of all steps of the ladder gives the same thresholds.

        Raises:
            ValueError: there is none.
        """
        low, high = 0, len(LADDER)
        while low < high:
            middle = (low + high) // 2
            tried = replace(rule, threshold=float(LADDER[middle]))
            low, high = (low, middle) if self.together(tried)[1] <= most else (middle + 1, high)
        if low == len(LADDER):
            raise ValueError(f"no threshold keeps these patients under {most:g} false alarms an hour.")
        return replace(rule, threshold=round(float(LADDER[low]), 2))

    def best(self, rules: Iterable[AlarmRule]) -> AlarmRule:
        """Return the rule that finds most at the rate at which rules are chosen, with its threshold."""
        most = SHARE_OF_PROMISE * CHOSEN_AT
        return max((self.with_threshold(rule, most) for rule in rules), key=lambda one: self.together(one)[0])


def choose_rule(watched: Watched) -> AlarmRule:
    """Return the best rule: first the weight of timing, then what stands for it in an irregular rhythm."""
    weight = watched.best(AlarmRule(timing_weight=one) for one in WEIGHTS).timing_weight
    return watched.best(
        AlarmRule(
            timing_weight=weight,
            irregular_weight=share * weight,
            irregular_bonus=bonus,
            irregularity_limit=IRREGULARITY_LIMIT,
        )
        for share in IRREGULAR_SHARES
        for bonus in IRREGULAR_BONUSES
    )


def told(records: Sequence[Record], counts: Sequence[Sequence[AlarmCounts]]) -> dict[str, Any]:
    """Return what the alarms on several records are worth, together and for each of them, mean of the seeds.

    Args:
        records: in the order of the counts.
        counts: by seed and record.
    """

    def mean(name: str) -> NDArray[np.float64]:
        return np.mean([[getattr(one, name) for one in of_seed] for of_seed in counts], axis=0)

    found, events, false, hours = map(mean, ("found", "events", "false_alarms", "hours"))
    silenced = mean("silenced_hours").sum()
    fibrillating = np.mean([sum(map(in_fibrillation, records, of_seed)) for of_seed in counts])
    return {
        "records": len(records),
        "v_episodes": int(events.sum()),
        "v_silenced": int(mean("silenced_events").sum()),
        "v_found": round(float(found.sum()), 1),
        "v_found_interval": _over_patients(found, events),
        "false_alarms": round(float(false.sum()), 1),
        "false_in_fibrillation": round(float(fibrillating), 1),
        "false_alarms_per_hour": round(float(false.sum() / hours.sum()), 2),
        "false_alarms_per_hour_interval": _over_patients(false, hours),
        "silenced_share": round(float(silenced / (silenced + hours.sum())), 3),
        # Record: false alarms an hour, episodes of V beats found, and all of them.
        "each": {
            record.name: [round(float(n_false / of_hours), 1), round(float(n_found), 1), int(n)]
            for record, n_false, of_hours, n_found, n in zip(
                records, false, hours, found, events, strict=True
            )
        },
    }


def _over_patients(tops: NDArray[np.float64], bottoms: NDArray[np.float64]) -> list[float]:
    """Return the 95 % interval of a ratio of sums when patients are drawn anew (percentile bootstrap).

    Empty where there is nothing to divide by.
    """
    draws = np.random.default_rng(0).integers(len(tops), size=(N_DRAWS, len(tops)))
    sums = bottoms[draws].sum(axis=1)
    ratios = tops[draws].sum(axis=1)[sums > 0] / sums[sums > 0]
    return [round(float(end), 3) for end in np.quantile(ratios, (0.025, 0.975))] if len(ratios) else []


def make_detector(
    name: str,
    lead_names: tuple[tuple[str, ...], ...],
    records: Sequence[Record],
    *,
    epochs: int = EPOCHS,
    seeds: Sequence[int] = SEEDS,
    first_seconds: float = FIRST_SECONDS,
    trained_on: str = TRAINED_ON,
) -> HeartDetector:
    """Return a detector that is trained on all `records`, with a rule and thresholds chosen on them.

    Args:
        name: what it will be called.
        lead_names: see `TrainedFor`.
        records: annotated, as many as there are groups at least.
        epochs: of each training.
        seeds: of the trainings for the choice; the first one's network is shipped.
        first_seconds: how long a heart is learnt.
        trained_on: in words, for the note.
    """
    trained_for = TrainedFor(RATE, lead_names, BEFORE, AFTER)
    nothing = LearntDifferences(DenseNetwork((), (), ()), 1.0)
    empty = HeartDetector(name, trained_for, nothing, AlarmRule(), {})
    patients = [patient_of(record, empty, first_seconds) for record in records]
    runs = [_run_of_strangers(patients, epochs, seed) for seed in seeds]
    rule, thresholds, chosen_on = _chosen(records, Watched(patients, runs))
    bare = Watched(patients, [[patient.columns(difference_size) for patient in patients]])
    bare_rule, bare_thresholds, bare_chosen_on = _chosen(records, bare)
    learnt = train(patients, epochs, seeds[0])
    size = len(learnt.network.kernels[0])
    made = {
        "trained_on": trained_on,
        "network": f"{size}-{HIDDEN}-{CODE}-{HIDDEN}-{size}",
        "normal_beats": sum(len(patient.differences[::EVERY]) for patient in patients),
        "chosen_on": chosen_on,
        "without_network": {
            "rule": {key: value for key, value in vars(bare_rule).items() if key != "threshold"},
            "thresholds": {f"{number:g}": threshold for number, threshold in bare_thresholds.items()},
            "chosen_on": bare_chosen_on,
        },
    }
    largest = max(patient.first_error(learnt.errors) for patient in patients)
    return replace(
        empty,
        learnt=learnt,
        rule=rule,
        thresholds=thresholds,
        largest_error=round(largest, 4),
        made=made,
    )


def _chosen(
    records: Sequence[Record], watched: Watched
) -> tuple[AlarmRule, dict[float, float], dict[str, Any]]:
    """Return the rule, the thresholds by accepted false alarms, and what these are worth where chosen."""
    rule = choose_rule(watched)
    chosen = {number: watched.with_threshold(rule, SHARE_OF_PROMISE * number) for number in FALSE_ALARMS}
    return (
        replace(rule, threshold=np.inf),
        {float(number): one.threshold for number, one in chosen.items()},
        {str(number): told(records, watched.counts(one)) for number, one in chosen.items()},
    )


def _run_of_strangers(patients: Sequence[Patient], epochs: int, seed: int) -> list[Columns]:
    """Return the columns of all patients, each group watched with a network of the others."""
    run: list[Columns] = [np.empty((3, 0))] * len(patients)
    for group in range(N_GROUPS):
        others = [patient for row, patient in enumerate(patients) if row % N_GROUPS != group]
        errors = train(others, epochs, seed).errors
        for row in range(group, len(patients), N_GROUPS):
            run[row] = patients[row].columns(errors)
    return run


def tested(detector: HeartDetector, records: Sequence[Record]) -> Mapping[str, Any]:
    """Return what the alarms of a detector are worth on records that it has not seen, by threshold."""
    scored = [detector.score(record) for record in records]
    return {
        f"{number:g}": told(
            records, [[judge(record, one.at(threshold)) for record, one in zip(records, scored, strict=True)]]
        )
        for number, threshold in detector.thresholds.items()
    }


def judged_without_network(
    detector: HeartDetector, records: Sequence[Record], first_seconds: float = FIRST_SECONDS
) -> dict[str, Any]:
    """Return what the notes say of the alarm without a network, and what it is worth on these records."""
    bare = detector.made["without_network"]
    rule = AlarmRule(**bare["rule"])
    patients = [patient_of(record, detector, first_seconds) for record in records]
    watched = Watched(patients, [[patient.columns(difference_size) for patient in patients]])
    return {
        **bare,
        "tested_on": {
            number: told(records, watched.counts(replace(rule, threshold=threshold)))
            for number, threshold in bare["thresholds"].items()
        },
    }


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
            told_of = {
                "tested_on": tested(detector, others),
                "without_network": judged_without_network(detector, others),
            }
            detector = replace(detector, made={**detector.made, **told_of})
        path = save_detector(detector, options.folder)
        print(f"{path.name}: {detector.thresholds}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
