"""Evaluation: metrics with intervals, fair comparisons, probes, retrieval, claims. Nothing here draws."""

from dae_utils.evaluation import claims
from dae_utils.evaluation.baselines import beat_timing, pca_encoder, raw_input, without_mean
from dae_utils.evaluation.comparisons import Difference, comparison_table, holm, mcnemar, paired_difference
from dae_utils.evaluation.intervals import Interval, ProblemsInterval
from dae_utils.evaluation.metrics import auroc, average_precision
from dae_utils.evaluation.neighbours import nearest_neighbours, retrieval, tuned_neighbour_probe
from dae_utils.evaluation.probes import tuned_linear_probe
from dae_utils.evaluation.rates import (
    detection_table,
    false_alarm_rate,
    precision_at_prevalence,
    proportion,
)
from dae_utils.evaluation.resampling import bootstrap, bootstrap_mean, bootstrap_problems

__all__ = [
    "Difference",
    "Interval",
    "ProblemsInterval",
    "auroc",
    "average_precision",
    "beat_timing",
    "bootstrap",
    "bootstrap_mean",
    "bootstrap_problems",
    "claims",
    "comparison_table",
    "detection_table",
    "false_alarm_rate",
    "holm",
    "mcnemar",
    "nearest_neighbours",
    "paired_difference",
    "pca_encoder",
    "precision_at_prevalence",
    "proportion",
    "raw_input",
    "retrieval",
    "tuned_linear_probe",
    "tuned_neighbour_probe",
    "without_mean",
]
