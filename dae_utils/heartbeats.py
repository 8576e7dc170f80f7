"""The old path of what is now in `dae_utils.data`, for assignments that are not rewritten yet."""

from dae_utils.data.simulated import simulate_heartbeats, simulate_record

__all__ = [
    "simulate_heartbeats",
    "simulate_record",
]
