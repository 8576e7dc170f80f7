"""The old path of `dae_utils.signals.streaming`, for notebooks that are not rewritten yet."""

from dae_utils.signals.streaming import (
    BeatStream,
    count_alarms,
    find_beats,
    match_beats,
    quality_spans,
    rhythm_features,
    score_record,
)

__all__ = [
    "BeatStream",
    "count_alarms",
    "find_beats",
    "match_beats",
    "quality_spans",
    "rhythm_features",
    "score_record",
]
