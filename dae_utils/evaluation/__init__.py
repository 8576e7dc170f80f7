"""Evaluation: metrics with intervals, probes and retrieval. Nothing here draws."""

from dae_utils.evaluation.metrics import (
    Interval,
    ProblemsInterval,
    auroc,
    average_precision,
    bootstrap,
    bootstrap_mean,
    bootstrap_problems,
    detection_table,
    false_alarm_rate,
    precision_at_prevalence,
    proportion,
)

__all__ = [
    "Interval",
    "ProblemsInterval",
    "auroc",
    "average_precision",
    "bootstrap",
    "bootstrap_mean",
    "bootstrap_problems",
    "detection_table",
    "false_alarm_rate",
    "precision_at_prevalence",
    "proportion",
]
