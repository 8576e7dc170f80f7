"""The old path of what is now in `dae_utils.data`, for notebooks that are not rewritten yet."""

from dae_utils.data.beats import cut_beats
from dae_utils.data.ecg import AAMI_CLASS
from dae_utils.data.heartbeats import load_heartbeats
from dae_utils.data.kaggle import load_kaggle_csv
from dae_utils.data.mitdb import (
    DS1_RECORDS,
    DS2_RECORDS,
    FOLDER_SETTING,
    PACED_RECORDS,
    SIMULATED_OFFSET,
)
from dae_utils.data.records import read_record
from dae_utils.data.simulated import simulate_heartbeats, simulate_record
from dae_utils.data.splits import random_split

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
