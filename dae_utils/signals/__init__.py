"""Heartbeats as they arrive: R peaks, signal quality, windows, scores and alarms; memory is bounded.

Samples go in at one end, in pieces of any length; finished beats come out at the other. What comes out does
not depend on the pieces: a record pushed sample by sample and one pushed whole give the same beats. That is
so because all filters are moving sums, as in the detector of Pan and Tompkins, and what they sum are whole
numbers, tenths of a microvolt, so that nothing is ever rounded. Nothing drifts over days, either, and there
is no state to carry along but the last samples. Moving sums are symmetric, too: they delay all frequencies
alike and so leave the shape of a beat as it is, which a recursive filter would not. The price is the delay,
1.1 seconds for the band from 0.5 to 40 Hz.

The modules, in the order in which a sample passes through them:

`checks`
    refuses signals that cannot be leads in millivolts.
`filters`
    moving sums, their lengths, and the buffer of the last samples.
`detector`
    R peaks.
`quality`
    verdicts on the signal.
`rhythm`
    RR intervals.
`beats`, `finder`
    from samples to beats.
`stream`
    from beats to scores and alarms.
`irregular`, `own_shape`, `ventricular`, `learnt_differences`
    an alarm for ventricular beats that measures by the patient's own and knows irregular rhythm.
`matching`, `alarms`
    how good the R peaks and the alarms of a record are.
`heart_detector`, `scored`, `shipped`, `judging`
    the same alarm, trained, for recordings of one's own, and how good its alarms are.

The stream knows neither the chapters nor any network: a score is a function that it is given. Nothing here is
a medical device, nor fit to be part of one.
"""

from dae_utils.signals.alarms import AlarmCounter, AlarmCounts, alarm_episodes, count_alarms
from dae_utils.signals.beats import Beats
from dae_utils.signals.finder import BeatFinder, FinderSettings, find_beats, quality_spans
from dae_utils.signals.heart_detector import HeartDetector
from dae_utils.signals.irregular import IrregularRhythm, RhythmNotice, rhythm_notices
from dae_utils.signals.matching import BeatMatch, match_beats
from dae_utils.signals.quality import QUALITIES, QualitySpan
from dae_utils.signals.rhythm import rhythm_features
from dae_utils.signals.scored import ScoredRecording
from dae_utils.signals.shipped import load_detector
from dae_utils.signals.stream import Beat, BeatStream, StreamSettings, score_record
from dae_utils.signals.ventricular import (
    AlarmRule,
    ScoredBeat,
    VentricularAlarm,
    difference_size,
    watch_record,
)

__all__ = [
    "QUALITIES",
    "AlarmCounter",
    "AlarmCounts",
    "AlarmRule",
    "Beat",
    "BeatFinder",
    "BeatMatch",
    "BeatStream",
    "Beats",
    "FinderSettings",
    "HeartDetector",
    "IrregularRhythm",
    "QualitySpan",
    "RhythmNotice",
    "ScoredBeat",
    "ScoredRecording",
    "StreamSettings",
    "VentricularAlarm",
    "alarm_episodes",
    "count_alarms",
    "difference_size",
    "find_beats",
    "load_detector",
    "match_beats",
    "quality_spans",
    "rhythm_features",
    "rhythm_notices",
    "score_record",
    "watch_record",
]
