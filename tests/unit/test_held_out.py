"""What is set aside: the same definition for every set, and no image, record or man on two sides."""

from __future__ import annotations

import numpy as np
import pytest

from dae_utils.data.beats import Heartbeats
from dae_utils.data.held_out import HELD_OUT_RECORDS, held_out_heartbeats, held_out_images, is_held_out
from dae_utils.data.images import ImageDataset
from dae_utils.data.mitdb import DS1_RECORDS, DS2_RECORDS, MITDB_RECORDS, SIMULATED_OFFSET


def images(n: int = 20_000, n_test: int = 300) -> ImageDataset:
    """A set whose pixels tell the place in the file."""
    x, x_test = (np.arange(count, dtype=np.float32).reshape(-1, 1, 1) / n for count in (n, n_test))
    return ImageDataset(
        "numbers", x, np.arange(n) % 10, x_test, np.arange(n_test) % 10, tuple("0123456789"), ""
    )


def test_blocks_from_all_over_the_file_are_held_out():
    parts = held_out_images(images())
    expected = np.r_[9000:10_000, 19_000:20_000]
    np.testing.assert_array_equal(parts.rows_held_out, expected)
    np.testing.assert_allclose(parts.x_held_out[:, 0, 0] * 20_000, expected, atol=0.01)
    np.testing.assert_array_equal(parts.y_held_out, expected % 10)
    together = np.concatenate([parts.rows_train, parts.rows_held_out])
    np.testing.assert_array_equal(np.sort(together), np.arange(20_000))
    assert len(parts.x_test) == 300
    assert parts.groups_test is None


@pytest.mark.parametrize(("n", "held"), [(60_000, 6000), (50_000, 5000)])
def test_a_tenth_of_the_books_sets_is_held_out(n, held):
    assert is_held_out(np.arange(n)).sum() == held


@pytest.mark.parametrize("step", [7, 20])
def test_in_a_slice_no_image_changes_its_part(step):
    whole, some = held_out_images(images()), held_out_images(images(), step=step)
    for part in ("train", "held_out", "test"):
        rows = getattr(some, f"rows_{part}")
        assert len(rows) == pytest.approx(len(getattr(whole, f"rows_{part}")) / step, abs=2)
        assert np.isin(rows, getattr(whole, f"rows_{part}")).all()
        assert (rows % step == 0).all()


def test_the_parts_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        held_out_images(images()).x_train[0] = 0


def test_a_step_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="step"):
        held_out_images(images(), step=0)
    with pytest.raises(ValueError, match="no held-out image"):
        held_out_images(images(), step=20_000)


def beats(simulated: bool = False, records=MITDB_RECORDS) -> Heartbeats:
    """Three beats of every record."""
    record = np.repeat(records, 3) + (SIMULATED_OFFSET if simulated else 0)
    n = len(record)
    return Heartbeats(
        beats=np.zeros((n, 187), np.float32),
        labels=np.arange(n) % 5,
        record=record,
        length=np.full(n, 100),
        rr_before=np.ones(n),
        rr_after=np.ones(n),
        simulated=simulated,
        source="",
        symbols=np.full(n, "N"),
        r_time=np.arange(n, dtype=float),
    )


@pytest.mark.parametrize("simulated", [False, True])
def test_no_man_is_on_two_sides(simulated):
    parts = held_out_heartbeats(beats(simulated))
    offset = SIMULATED_OFFSET if simulated else 0
    train, held, test = (
        set(group - offset) for group in (parts.groups_train, parts.groups_held_out, parts.groups_test)
    )
    assert held == set(HELD_OUT_RECORDS)
    assert train | held == set(DS1_RECORDS)
    assert not train & held
    # 201 and 202 are the same man.
    assert test == set(DS2_RECORDS) - {202}
    assert len(parts.x_test) == len(parts.y_test) == len(parts.rows_test) == 3 * 21


def test_papers_test_on_202_too():
    assert 202 in held_out_heartbeats(beats(), with_202=True).groups_test


def test_a_part_must_not_stay_empty():
    records = [record for record in MITDB_RECORDS if record not in HELD_OUT_RECORDS]
    with pytest.raises(ValueError, match="part empty"):
        held_out_heartbeats(beats(records=records))
