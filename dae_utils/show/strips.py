"""A picture of a scored recording: its scores over time, and the strips around its strongest alarms."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from dae_utils.data.ecg import Record
from dae_utils.show.style import COLOURS, set_defaults
from dae_utils.signals.scored import ScoredRecording

__all__ = ["draw_scored"]

_STRIP_SECONDS = 10.0
_LEAST_SHARE_TO_NAME = 0.25
_WIDTH, _OVERVIEW_HEIGHT, _STRIP_HEIGHT = 7.0, 2.4, 1.5


def draw_scored(record: Record, scored: ScoredRecording, strips: int = 4) -> Figure:
    """Draw the score of every beat over time, and ten seconds of the main lead around the strongest alarms.

    Alarms are filled triangles, other beats are dots. Bad signal is shaded grey, and so, lighter, are the
    first minutes. A simulated record's picture says so.

    Args:
        record: the recording.
        scored: what a detector says about it.
        strips: how many alarms to show at most, the ones with the highest scores, in order of time.

    Returns:
        The figure, not shown yet.
    """
    set_defaults()
    shown = _strongest(scored, strips)
    heights = [_OVERVIEW_HEIGHT, *[_STRIP_HEIGHT] * len(shown)]
    figure, axes = plt.subplots(
        len(heights), 1, figsize=(_WIDTH, sum(heights) + 0.4), height_ratios=heights, squeeze=False
    )
    _draw_overview(axes[0, 0], scored)
    axes[0, 0].set_title(record.title(f"{scored.name}, lead {scored.lead_names[0]}"))
    for ax, time in zip(axes[1:, 0], shown, strict=True):
        _draw_strip(ax, record.in_millivolts(), scored, time)
    if shown:
        axes[-1, 0].set_xlabel("time (hours:minutes:seconds)")
    return figure


def _strongest(scored: ScoredRecording, most: int) -> list[float]:
    """Return the time of the strangest beat of each of the strongest alarms, in order, seconds."""
    strongest = [max(beats, key=lambda beat: beat.score) for beats in scored.beats_of_alarms()]
    strongest.sort(key=lambda beat: beat.score, reverse=True)
    return sorted(beat.time for beat in strongest[:most])


def _draw_overview(ax: Axes, scored: ScoredRecording) -> None:
    """Draw scores over minutes (hours for a long recording), the threshold, and where nothing is watched."""
    unit, name = (3600, "h") if scored.seconds > 7200 else (60, "min")
    times = np.array([beat.time for beat in scored.beats]) / unit
    scores = np.array([beat.score for beat in scored.beats])
    is_alarm = np.array([beat.alarm for beat in scored.beats], bool)
    _shade_bad_signal(ax, scored, unit)
    ax.axvspan(0, scored.learnt_seconds / unit, color=COLOURS["sky"], alpha=0.15, linewidth=0)
    share = scored.learnt_seconds / scored.seconds
    if share > _LEAST_SHARE_TO_NAME:
        ax.text(share / 2, 0.95, "learning this heart", transform=ax.transAxes, ha="center", va="top")
    ax.plot(times[~is_alarm], scores[~is_alarm], ".", color=COLOURS["blue"], markersize=2, rasterized=True)
    ax.plot(times[is_alarm], scores[is_alarm], "v", color=COLOURS["red"], markersize=5, rasterized=True)
    ax.axhline(scored.threshold, color="black", linestyle="--", linewidth=1)
    ax.text(scored.seconds / unit, scored.threshold, "threshold", ha="right", va="bottom", fontsize=10)
    if not is_alarm.any():
        ax.text(0.6, 0.9, "no alarm", transform=ax.transAxes, ha="center", va="top")
    ax.set_xlim(0, scored.seconds / unit)
    ax.set_xlabel(f"time ({name})")
    ax.set_ylabel("score")


def _draw_strip(ax: Axes, record: Record, scored: ScoredRecording, time: float) -> None:
    """Draw ten seconds of the main lead with an alarm in their middle."""
    begin = min(max(time - _STRIP_SECONDS / 2, 0.0), max(record.seconds - _STRIP_SECONDS, 0.0))
    end = begin + _STRIP_SECONDS
    rate = record.sampling_rate
    lead = record.signals[:, record.lead_names.index(scored.lead_names[0])]
    rows = np.arange(math.ceil(begin * rate), min(math.floor(end * rate), len(lead)))
    ax.plot(rows / rate, lead[rows], color=COLOURS["blue"], linewidth=1)
    low, high = np.nanmin(lead[rows]), np.nanmax(lead[rows])
    room = max(high - low, 0.1)
    _shade_bad_signal(ax, scored)
    level = high + 0.2 * room
    for beat in scored.beats:
        if not begin <= beat.time <= end:
            continue
        if beat.alarm:
            ax.plot(beat.time, level, "v", color=COLOURS["red"], markersize=7)
            ax.text(beat.time + 0.1, level, f"{beat.score:.1f}", fontsize=9, va="center")
        else:
            ax.plot(beat.time, level, ".", color=COLOURS["blue"], markersize=4)
    ax.xaxis.set_major_formatter(FuncFormatter(_clock))
    ax.set_xlim(begin, end)
    ax.set_ylim(low - 0.1 * room, high + 0.4 * room)
    ax.set_ylabel("mV")


def _clock(seconds: float, _: int) -> str:
    """Return a time as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _shade_bad_signal(ax: Axes, scored: ScoredRecording, unit: float = 1.0) -> None:
    """Shade where no alarm could be raised; `unit` is how many seconds one of the axis is."""
    bad = [(s.start / unit, (s.stop - s.start) / unit) for s in scored.spans if s.quality != "good"]
    ax.broken_barh(
        bad, (0, 1), transform=ax.get_xaxis_transform(), color=COLOURS["grey"], alpha=0.25, linewidth=0
    )
