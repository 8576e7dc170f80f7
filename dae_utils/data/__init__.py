"""Data as arrays: images, heartbeats, a reader's own files, damage and deformation, and where all is kept.

Nothing here imports Keras or TensorFlow. What is named below is what a reader imports first; the rest is in
the modules, which are named by what they hold.
"""

from dae_utils.data.beats import Heartbeats, cut_beats
from dae_utils.data.ecg import Record, Span, simulated_hearts_were_used
from dae_utils.data.heartbeats import load_heartbeats
from dae_utils.data.images import ImageDataset, load_cifar10, load_fashion_mnist, load_mnist
from dae_utils.data.kaggle import load_kaggle_csv
from dae_utils.data.recordings import read_recording, recording
from dae_utils.data.records import read_record
from dae_utils.data.simulated import simulate_heartbeats, simulate_record
from dae_utils.data.splits import inter_patient_split, random_split
from dae_utils.data.storage import SourceError, data_dir

__all__ = [
    "Heartbeats",
    "ImageDataset",
    "Record",
    "SourceError",
    "Span",
    "cut_beats",
    "data_dir",
    "inter_patient_split",
    "load_cifar10",
    "load_fashion_mnist",
    "load_heartbeats",
    "load_kaggle_csv",
    "load_mnist",
    "random_split",
    "read_record",
    "read_recording",
    "recording",
    "simulate_heartbeats",
    "simulate_record",
    "simulated_hearts_were_used",
]
