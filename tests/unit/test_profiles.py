"""The two sizes of a run, and when a progress bar is drawn."""

from __future__ import annotations

import dataclasses
import io
import sys

import pytest

from dae_utils.profiles import Profile, current_profile, show_progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def nobody_watching(monkeypatch):
    """No setting, no terminal and no notebook."""
    monkeypatch.delenv("DAE_PROGRESS", raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())


def test_each_profile_picks_its_own_size():
    assert Profile("quick").pick(quick=2, full=50) == 2
    assert Profile("full").pick(quick=2, full=50) == 50
    assert Profile("full").pick(quick=None, full=[1]) == [1]


def test_the_sizes_are_named_so_that_they_cannot_be_swapped():
    with pytest.raises(TypeError):
        Profile("full").pick(2, 50)


def test_a_profile_stays_what_it_is():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Profile("full").name = "quick"


@pytest.mark.parametrize("setting", ["quick", "QUICK", " quick\n"])
def test_the_environment_names_the_profile(monkeypatch, setting):
    monkeypatch.setenv("DAE_PROFILE", setting)
    assert current_profile() == Profile("quick")
    monkeypatch.setenv("DAE_PROFILE", "full")
    assert current_profile() == Profile("full")


@pytest.mark.parametrize("setting", [None, "", " "])
def test_a_reader_who_sets_nothing_runs_what_was_published(monkeypatch, setting):
    monkeypatch.delenv("DAE_PROFILE", raising=False)
    if setting is not None:
        monkeypatch.setenv("DAE_PROFILE", setting)
    assert current_profile() == Profile("full")


def test_another_name_is_refused_with_the_names_there_are(monkeypatch):
    monkeypatch.setenv("DAE_PROFILE", "fast")
    with pytest.raises(ValueError, match=r"DAE_PROFILE is 'fast': set it to 'quick' or 'full'"):
        current_profile()


@pytest.mark.parametrize(
    ("setting", "shown"), [("0", False), (" 0 ", False), ("", False), ("1", True), ("yes", True)]
)
def test_the_setting_decides_whoever_is_watching(monkeypatch, nobody_watching, setting, shown):
    monkeypatch.setenv("DAE_PROGRESS", setting)
    assert show_progress() is shown
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert show_progress() is shown


def test_without_a_setting_a_bar_is_drawn_where_somebody_watches(monkeypatch, nobody_watching):
    assert show_progress() is False
    with monkeypatch.context() as terminal:
        terminal.setattr(sys, "stderr", Terminal())
        assert show_progress() is True
    assert show_progress() is False
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert show_progress() is True
