"""The old path of `dae_utils.signals`, with windows in samples, for notebooks that are not rewritten yet."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from dae_utils import signals as _signals
from dae_utils.signals import Beat, Beats, QualitySpan, count_alarms, match_beats, rhythm_features
from dae_utils.signals.stream import Score
from dae_utils.validation import check_count

__all__ = [
    "BeatStream",
    "count_alarms",
    "find_beats",
    "match_beats",
    "quality_spans",
    "rhythm_features",
    "score_record",
]


def _in_seconds(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the windows' lengths in seconds in place of `before=140, after=180` samples."""
    rest = dict(settings)
    rate = check_count(rest.get("sampling_rate", 360), "sampling_rate", least=100, most=5000)
    before = check_count(rest.pop("before", 140), "before", least=0, most=10 * rate)
    after = check_count(rest.pop("after", 180), "after", most=10 * rate)
    return rest | {"before_seconds": before / rate, "after_seconds": after / rate}


class BeatStream(_signals.BeatStream):
    """`dae_utils.signals.BeatStream` with `before` and `after` in samples."""

    def __init__(self, score: Score | None = None, **settings: Any):
        super().__init__(score, **_in_seconds(settings))


def find_beats(signals: ArrayLike, **settings: Any) -> Beats:
    """As `dae_utils.signals.find_beats`, with `before` and `after` in samples."""
    return _signals.find_beats(signals, **_in_seconds(settings))


def quality_spans(signals: ArrayLike, **settings: Any) -> list[QualitySpan]:
    """As `dae_utils.signals.quality_spans`, with `before` and `after` in samples."""
    return _signals.quality_spans(signals, **_in_seconds(settings))


def score_record(signals: ArrayLike, score: Score | None = None, **settings: Any) -> list[Beat]:
    """As `dae_utils.signals.score_record`, with `before` and `after` in samples."""
    return _signals.score_record(signals, score, **_in_seconds(settings))
