"""The old path of `dae_utils.data.heartbeats`, for notebooks that are not rewritten yet."""

from dae_utils.data.heartbeats import (
    AAMI_CLASS,
    DS1_RECORDS,
    DS2_RECORDS,
    FOLDER_SETTING,
    PACED_RECORDS,
    SIMULATED_OFFSET,
    cut_beats,
    load_heartbeats,
    load_kaggle_csv,
    random_split,
    read_record,
    simulate_heartbeats,
    simulate_record,
)

__all__ = [
    "AAMI_CLASS",
    "DS1_RECORDS",
    "DS2_RECORDS",
    "FOLDER_SETTING",
    "PACED_RECORDS",
    "SIMULATED_OFFSET",
    "cut_beats",
    "load_heartbeats",
    "load_kaggle_csv",
    "random_split",
    "read_record",
    "simulate_heartbeats",
    "simulate_record",
]
