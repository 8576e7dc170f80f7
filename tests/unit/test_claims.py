"""Guarded claims: a full run fails where a sentence no longer holds."""

from __future__ import annotations

import numpy as np
import pytest

from dae_utils.evaluation import Interval, claims


@pytest.fixture(autouse=True)
def _afresh():
    claims.forget()
    yield
    claims.forget()


def test_a_full_run_fails_with_the_sentence_and_the_values(monkeypatch):
    monkeypatch.setenv("DAE_PROFILE", "full")
    assert claims.check("the network beats PCA", np.float64(0.1) < 0.2)
    with pytest.raises(claims.ClaimError, match=r"the network beats PCA.*network = 0\.3.*pca = 0\.2"):
        claims.check("the network beats PCA", 0.3 < 0.2, network=0.3, pca=np.float32(0.2))
    # An assertion, so that test runners say so.
    assert issubclass(claims.ClaimError, AssertionError)


def test_a_quick_run_only_notes(monkeypatch, capsys):
    monkeypatch.setenv("DAE_PROFILE", "quick")
    assert not claims.check("best at 32 dimensions", False, best=16)
    assert "best at 32 dimensions" in capsys.readouterr().out
    assert claims.check("six of ten", True)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(("low", "holds"), [(0.01, True), (0.0, False), (-0.01, False)])
def test_an_interval_holds_above_zero(monkeypatch, low, holds):
    monkeypatch.setenv("DAE_PROFILE", "quick")
    assert claims.check("the difference is positive", Interval(0.1, low, 0.2)) is holds


def test_what_was_checked_can_be_read(monkeypatch):
    monkeypatch.setenv("DAE_PROFILE", "quick")
    claims.check("first", True, value=1)
    claims.check("second", False)
    claims.check("first", False)  # a cell that is run again
    read = claims.checked()
    assert [(claim.sentence, claim.holds, claim.profile) for claim in read] == [
        ("first", False, "quick"),
        ("second", False, "quick"),
    ]


def test_a_failed_claim_is_kept_too(monkeypatch):
    monkeypatch.setenv("DAE_PROFILE", "full")
    with pytest.raises(claims.ClaimError):
        claims.check("never", False)
    assert not claims.checked()[0].holds


@pytest.mark.parametrize("condition", [np.array([True, True]), 1, None, "yes"])
def test_a_condition_is_one_truth_value(condition):
    with pytest.raises(TypeError, match="truth value"):
        claims.check("something", condition)


@pytest.mark.parametrize("condition", [True, np.bool_(False), Interval(0.1, 0.0, 0.2)])
def test_the_text_comes_first(condition):
    with pytest.raises(TypeError, match="text first"):
        claims.check(condition, "the network beats PCA")
    assert claims.checked() == ()


@pytest.mark.parametrize("sentence", ["", "two\nlines"])
def test_a_sentence_is_one_line(sentence):
    with pytest.raises(ValueError, match="one line"):
        claims.check(sentence, True)
