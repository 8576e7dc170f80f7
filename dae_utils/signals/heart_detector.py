"""A trained alarm for ventricular beats in recordings of your own: load it by name, give it a `Record`.

`HeartDetector` knows what it was trained for, brings a recording there or refuses it, and has it watched by a
`VentricularAlarm`, which learns the heart from the first minutes and follows it. The shipped ones hold
weights and thresholds and no heartbeats; `tools/ship_detector.py` makes them. It is not a medical device, nor
fit to be part of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from dae_utils.data.ecg import USABLE_RATES, Record, plain_lead
from dae_utils.data.recordings import RecordingError, refuse_implausible
from dae_utils.profiles import show_progress
from dae_utils.signals.finder import continued_spans
from dae_utils.signals.learnt_differences import LearntDifferences
from dae_utils.signals.quality import QualitySpan
from dae_utils.signals.scored import ScoredRecording
from dae_utils.signals.ventricular import AlarmRule, Error, ScoredBeat, VentricularAlarm

__all__ = ["HeartDetector", "TrainedFor"]

FIRST_SECONDS = 300.0
LEAST_BEATS = 30
_PIECE_SECONDS = 60
# How many times as restless a heart may be as the most restless one of the training. Record 104 of MIT-BIH is
# just as restless as that one; noise alone is nine times and more.
_MOST_TIMES = 3
_PLAUSIBLE_RR = (0.25, 2.4)  # seconds, the median: 240 to 25 beats a minute


@dataclass(frozen=True)
class TrainedFor:
    """What a detector was trained for.

    Args:
        sampling_rate: samples a second, to which other recordings are brought.
        lead_names: for each lead the names that it goes by, the one it was trained on first.
        before_seconds, after_seconds: the windows, around the R peak.
        units: of the signals.
    """

    sampling_rate: int
    lead_names: tuple[tuple[str, ...], ...]
    before_seconds: float
    after_seconds: float
    units: str = "mV"

    def __str__(self) -> str:
        leads = " and ".join(names[0] for names in self.lead_names)
        return f"{self.sampling_rate} samples a second of {leads} in {self.units}"


@dataclass(frozen=True, eq=False, repr=False)
class HeartDetector:
    """Scores the beats of a recording by how ventricular they are for the heart that it comes from.

    Args:
        name: by which it is loaded.
        trained_for: rate, leads, windows and units.
        learnt: says how strange a difference from the heart's own template is.
        rule: how the score is made of shape, timing and rhythm; its threshold is not used.
        thresholds: by how many false alarms an hour are accepted.
        largest_error: the `VentricularAlarm.first_error` of the patient of DS1 whose beats differed most from
            each other.
        made: how it was made and how well it did, for the reader.
    """

    name: str
    trained_for: TrainedFor
    learnt: LearntDifferences
    rule: AlarmRule
    thresholds: Mapping[float, float]
    largest_error: float = math.inf
    made: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"HeartDetector({self.name}, trained for {self.trained_for})"

    def threshold(self, false_alarms_per_hour: float) -> float:
        """Return the threshold for so many false alarms an hour; the patients of DS1 had half as many.

        Raises:
            ValueError: a number for which there is none.
        """
        if false_alarms_per_hour not in self.thresholds:
            known = ", ".join(f"{number:g}" for number in sorted(self.thresholds))
            raise ValueError(f"false_alarms_per_hour must be one of {known}, not {false_alarms_per_hour}.")
        return self.thresholds[false_alarms_per_hour]

    def stream(
        self, *, false_alarms_per_hour: float = 10, first_seconds: float = FIRST_SECONDS
    ) -> VentricularAlarm:
        """Return an alarm for samples as they arrive: at the rate and with the leads that it was trained for.

        Args:
            false_alarms_per_hour: see `threshold`.
            first_seconds: how long it learns the heart before it scores.

        Raises:
            ValueError: see `threshold`.
        """
        rule = replace(self.rule, threshold=self.threshold(false_alarms_per_hour))
        return self.alarm(self.learnt.errors, rule, first_seconds)

    def alarm(self, error: Error, rule: AlarmRule, first_seconds: float = FIRST_SECONDS) -> VentricularAlarm:
        """Return an alarm for what it was trained for, with another error and rule."""
        wanted = self.trained_for
        return VentricularAlarm(
            error,
            rule=rule,
            calibration_seconds=first_seconds,
            least_beats=LEAST_BEATS,
            sampling_rate=wanted.sampling_rate,
            leads=len(wanted.lead_names),
            before_seconds=wanted.before_seconds,
            after_seconds=wanted.after_seconds,
            converter_range=None,
        )

    def score(
        self,
        record: Record,
        *,
        leads: Sequence[str] | None = None,
        false_alarms_per_hour: float = 10,
        first_seconds: float = FIRST_SECONDS,
    ) -> ScoredRecording:
        """Return the scored beats of a recording, at any rate from 100 to 5000 samples a second.

        It is resampled to the rate of the training. Its leads are found by their names; where the names say
        nothing and there are as many as needed, they are taken in their order, and a note says so.

        Args:
            record: with a rate, names of leads and units; see `dae_utils.data.recordings`.
            leads: the names of the leads to use, the main one first.
            false_alarms_per_hour: see `threshold`.
            first_seconds: how long it learns the heart before it scores.

        Raises:
            RecordingError: one line that says why the recording can't be scored and what to do.
            ValueError: another number of false alarms.
        """
        if not isinstance(record, Record):
            raise RecordingError(
                "a detector scores a Record, which knows its rate, leads and units, not "
                f"{type(record).__name__}; make one with dae_utils.data.recordings.recording or "
                "read_recording."
            )
        if not 0 < first_seconds < math.inf:
            raise RecordingError(f"first_seconds must be seconds above 0, not {first_seconds}.")
        alarm = self.stream(false_alarms_per_hour=false_alarms_per_hour, first_seconds=first_seconds)
        columns, notes = self.choose_leads(record, leads)
        signals = self._resampled(record.in_millivolts(), columns)
        beats, spans = self._run(alarm, signals, record.name)
        _refuse_unscored(record, beats, first_seconds)
        # The alarm counts samples at its own rate.
        beats = [beat._replace(sample=round(beat.time * record.sampling_rate)) for beat in beats]
        scored_from = next(number for number, beat in enumerate(beats) if not math.isnan(beat.score))
        learnt_seconds = max(first_seconds, beats[scored_from].time)
        n_bad = sum(beat.quality != "good" for beat in beats)
        if n_bad > len(beats) / 2:
            notes.append(f"{n_bad} of {len(beats)} beats lie in bad signal, where no alarm is raised")
        if alarm.first_error > self.largest_error:
            notes.append(
                "the beats of the first minutes differ more from each other than those of any patient of the "
                "training, as in noise, an irregular rhythm or at a wrong rate; expect to miss abnormal beats"
            )
        return ScoredRecording(
            name=record.name,
            detector=self.name,
            lead_names=tuple(record.lead_names[column] for column in columns),
            notes=tuple(notes),
            beats=beats,
            spans=spans,
            seconds=record.seconds,
            learnt_seconds=learnt_seconds,
            n_learnt=sum(beat.quality == "good" for beat in beats[:scored_from]),
            threshold=alarm.rule.threshold,
        )

    def choose_leads(self, record: Record, leads: Sequence[str] | None = None) -> tuple[list[int], list[str]]:
        """Return which columns of a recording are the leads of the training, and notes on what had to do.

        Raises:
            RecordingError: too few leads, unknown names, or names that do not tell which leads are meant.
        """
        wanted = self.trained_for.lead_names
        names = [plain_lead(name) for name in record.lead_names]
        has = f"{record.name} has {', '.join(record.lead_names)}"
        if len(names) < len(wanted):
            raise RecordingError(
                f"detector {self.name} takes {len(wanted)} leads and {has} only; use a detector for "
                f"{len(names)}, such as one_lead."
            )
        if leads is not None:
            if len(leads) != len(wanted) or len({plain_lead(lead) for lead in leads}) != len(leads):
                raise RecordingError(
                    f"detector {self.name} takes {len(wanted)} of different names, not {', '.join(leads)}; "
                    f"{has}."
                )
            unknown = [lead for lead in leads if plain_lead(lead) not in names]
            if unknown:
                raise RecordingError(f"there is no lead {', '.join(unknown)}; {has}.")
            return [names.index(plain_lead(lead)) for lead in leads], self._notes(record, leads)
        columns: list[int] = []
        for accepted in wanted:
            fitting = [names.index(name.casefold()) for name in accepted if name.casefold() in names]
            columns += [column for column in fitting if column not in columns][:1]
        if len(columns) < len(wanted):
            if len(names) != len(wanted):
                first = [accepted[0] for accepted in wanted]
                raise RecordingError(
                    f"{has}; which of them to use in place of {' and '.join(first)} its names do not tell: "
                    f"name {len(wanted)} with leads."
                )
            main = [column for column in columns if names[column] in map(str.casefold, wanted[0])]
            columns = main + [column for column in range(len(names)) if column not in main]
        return columns, self._notes(record, [record.lead_names[column] for column in columns])

    def _notes(self, record: Record, leads: Sequence[str]) -> list[str]:
        """Return a note for each lead that is not of the kind of the training."""
        return [
            f"lead {lead} stands in for {accepted[0]}, which the detector was trained on; expect more false "
            "alarms"
            for lead, accepted in zip(leads, self.trained_for.lead_names, strict=True)
            if plain_lead(lead) not in map(str.casefold, accepted)
        ]

    def _resampled(self, record: Record, columns: list[int]) -> NDArray[np.float64]:
        """Return the leads at the rate of the training, (samples, leads), after a look at their size."""
        from scipy.signal import resample_poly  # here, since it is of no use to a stream

        rate, wanted = record.sampling_rate, self.trained_for.sampling_rate
        lowest, highest = USABLE_RATES
        if not lowest <= rate <= highest:
            raise RecordingError(
                f"{record.name} has {rate} samples a second; from {lowest} to {highest} can be used."
            )
        ratio = Fraction(wanted, rate)
        resampled = []
        for column in columns:
            lead = record.signals[:, column]
            refuse_implausible(lead, rate, record.lead_names[column], "mV", record.name)
            if ratio != 1:
                # In single precision a lead on a large offset would lose its small waves.
                known = lead[np.isfinite(lead)]
                offset = float(np.median(known))
                lead = (
                    resample_poly(lead - offset, ratio.numerator, ratio.denominator, padtype="edge") + offset
                )
            resampled.append(lead)
        return np.column_stack(resampled)

    def _run(
        self, alarm: VentricularAlarm, signals: NDArray[np.floating[Any]], name: str
    ) -> tuple[list[ScoredBeat], list[QualitySpan]]:
        """Return the beats and the verdicts on the signal, minute by minute, with a progress bar."""
        size = _PIECE_SECONDS * alarm.finder.sampling_rate
        beats: list[ScoredBeat] = []
        spans: list[QualitySpan] = []
        starts = range(0, len(signals), size)
        for start in tqdm(starts, desc=name, unit="min", leave=False, disable=not show_progress()):
            beats += alarm.push(signals[start : start + size])
            spans = continued_spans(spans, alarm.finder.recent_quality)
            self._refuse_restless(alarm.first_error)
        beats += alarm.finish()
        self._refuse_restless(alarm.first_error)
        return beats, continued_spans(spans, alarm.finder.recent_quality)

    def _refuse_restless(self, first_error: float) -> None:
        """Raise `RecordingError` where beats differ from each other as in noise, or at a wrong rate."""
        if first_error > _MOST_TIMES * self.largest_error:
            raise RecordingError(
                f"the beats of the first minutes differ {first_error / self.largest_error:.1f} times as much "
                "from each other as those of the most restless patient of the training; is it an "
                "electrocardiogram, is its rate right, and is the lead good?"
            )


def _refuse_unscored(record: Record, beats: Sequence[ScoredBeat], first_seconds: float) -> None:
    """Raise `RecordingError` where there is no scored beat, or a heart as no rate of samples can be right."""
    if not beats:
        raise RecordingError(
            f"no heartbeat was found in {record.name}; is it an electrocardiogram, and is its rate really "
            f"{record.sampling_rate} samples a second?"
        )
    usual = float(np.median(np.diff([beat.time for beat in beats]))) if len(beats) > 1 else record.seconds
    if not _PLAUSIBLE_RR[0] <= usual <= _PLAUSIBLE_RR[1]:
        raise RecordingError(
            f"the heart of {record.name} would beat {60 / usual:.0f} times a minute; is its rate really "
            f"{record.sampling_rate} samples a second?"
        )
    if any(not math.isnan(beat.score) for beat in beats):
        return
    if record.seconds <= first_seconds:
        raise RecordingError(
            f"{record.name} lasts {record.seconds / 60:.1f} minutes, and the first {first_seconds / 60:.1f} "
            "are needed to learn the heart; give a longer recording, or fewer first minutes."
        )
    verdicts = [beat.quality for beat in beats if beat.quality != "good"]
    raise RecordingError(
        f"{record.name}: only {len(beats) - len(verdicts)} of {len(beats)} beats have a good signal, and "
        f"{LEAST_BEATS} are needed to learn the heart (mostly: {max(set(verdicts), key=verdicts.count)}); "
        "leave out a dead lead, or give more first minutes."
    )
