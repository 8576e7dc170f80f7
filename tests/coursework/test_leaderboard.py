"""The project: data are split, submissions ranked, and what is wrong with one is explained."""

import importlib.util
import os

import numpy as np
import pytest

from dae_utils.scoring import ConformalThreshold
from tools import leaderboard
from tools.coursework.places import ASSIGNMENTS


@pytest.fixture
def parts():
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1], [600, 80])
    x = generator.normal(size=(680, 3)) + 2.0 * y[:, np.newaxis]
    return leaderboard.split(x, y, seed=1)


def scores_of(parts):
    given, _ = parts
    return given["x_held_out"].sum(axis=1), given["x_test"].sum(axis=1)


def hand_in(folder, parts, held, test, threshold, promised=0.1):
    given, _ = parts
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"# promised {promised}", f"# threshold {threshold!r}", "id,part,score"]
    lines += [f"{i},held-out,{float(s)!r}" for i, s in zip(given["id_held_out"], held, strict=True)]
    lines += [f"{i},test,{float(s)!r}" for i, s in zip(given["id_test"], test, strict=True)]
    (folder / "scores.csv").write_text("\n".join(lines))
    return leaderboard.judge(folder.name, folder / "scores.csv", parts[1])


def test_the_parts_share_nothing_and_the_key_fits(parts):
    given, key = parts

    ids = [given[f"id_{name}"] for name in ("train", "held_out", "test")]
    assert [len(i) for i in ids] == [300, 120, 260]
    assert len(set(np.concatenate(ids).tolist())) == 680
    assert key.labels.sum() == 80
    assert np.array_equal(key.test, given["id_test"])
    assert given["x_test"][key.labels == 1].mean() > 1.5 > given["x_test"][key.labels == 0].mean()


def test_whole_sources_stay_together():
    source = np.repeat(np.arange(20), 30)
    x = np.column_stack([source, np.arange(600)]).astype(float)
    y = np.zeros(600)
    y[::30] = 1

    given, _ = leaderboard.split(x, y, source)

    train, held = set(given["x_train"][:, 0]), set(given["x_held_out"][:, 0])
    assert len(train) == 10
    assert len(held) == 4
    assert not train & held


@pytest.mark.parametrize(("x", "y"), [(np.ones((4, 1)), np.zeros(3)), (np.ones((9, 1)), np.zeros(9))])
def test_data_that_cannot_be_split_are_refused(x, y):
    with pytest.raises(ValueError, match=r"rows|empty"):
        leaderboard.split(x, y)


def test_an_honest_submission_is_ranked(tmp_path, parts):
    held, test = scores_of(parts)

    entry = hand_in(tmp_path / "ann", parts, held, test, float(ConformalThreshold(0.1).fit(held).threshold_))

    assert entry.problems == []
    assert entry.auroc.value > 0.9
    assert entry.found > 0.7
    assert entry.achieved == pytest.approx(0.1, abs=0.07)


def test_the_plain_quantile_is_accepted(tmp_path, parts):
    held, test = scores_of(parts)

    assert hand_in(tmp_path / "a", parts, held, test, float(np.quantile(held, 0.9))).problems == []


RECIPES = {
    "mean plus one standard deviation of the TEST": lambda s, y: s.mean() + s.std(),
    "mean plus two standard deviations of the TEST": lambda s, y: s.mean() + 2 * s.std(),
    "quantile of all TEST scores": lambda s, y: np.quantile(s, 0.9),
}


@pytest.mark.parametrize("words", RECIPES)
def test_a_threshold_from_test_data_is_caught_and_explained(tmp_path, parts, words):
    held, test = scores_of(parts)

    entry = hand_in(tmp_path / "a", parts, held, test, float(RECIPES[words](test, parts[1].labels)))

    (problem,) = entry.problems
    assert words in problem
    assert "leaked into the threshold" in problem
    assert "cannot be kept" in problem


def test_any_other_threshold_is_refused_without_an_accusation(tmp_path, parts):
    held, test = scores_of(parts)

    (problem,) = hand_in(tmp_path / "a", parts, held, test, 1e6).problems

    assert "does not follow from your held-out scores" in problem
    assert "leaked" not in problem


def test_a_sign_turned_round_is_noticed(tmp_path, parts):
    held, test = (-s for s in scores_of(parts))

    entry = hand_in(tmp_path / "a", parts, held, test, float(ConformalThreshold(0.1).fit(held).threshold_))

    assert any("turned round" in problem for problem in entry.problems)


def test_training_on_the_held_out_samples_is_noticed(tmp_path, parts):
    held, test = scores_of(parts)
    held = held - 2

    entry = hand_in(tmp_path / "a", parts, held, test, float(ConformalThreshold(0.1).fit(held).threshold_))

    assert any("used for training" in problem for problem in entry.problems)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text.replace("# threshold", "# limit"),
        lambda text: text.replace("promised 0.1", "promised 10"),
        lambda text: text.replace("id,part,score", "id,score,part"),
        lambda text: text.rsplit("\n", 1)[0],
        lambda text: text + "\n" + text.rsplit("\n", 1)[1],
        lambda text: text.rsplit(",", 1)[0] + ",nan",
    ],
)
def test_a_file_that_is_not_in_order_is_told_so(tmp_path, parts, change):
    held, test = scores_of(parts)
    hand_in(tmp_path / "a", parts, held, test, float(np.quantile(held, 0.9)))
    file = tmp_path / "a" / "scores.csv"
    file.write_text(change(file.read_text()))

    entry = leaderboard.judge("a", file, parts[1])

    assert len(entry.problems) == 1
    assert entry.auroc is None
    assert "| - | a | - |" in leaderboard.show([entry])


def test_no_file_stops_the_ranking_of_the_others(tmp_path, parts):
    held, test = scores_of(parts)
    threshold = float(ConformalThreshold(0.1).fit(held).threshold_)
    hand_in(tmp_path / "ann", parts, held, test, threshold)
    good = tmp_path / "ann" / "scores.csv"
    text = good.read_text()
    first_id = text.splitlines()[3].partition(",")[0]
    for name, content in {
        "huge id": text.replace(f"\n{first_id},", f"\n{'9' * 5000},", 1).encode(),
        "huge score": text.encode() + b"1,test,1e999999\n",
        "nulls": b"\0" * 1000,
        "not utf-8": text.encode() + b"\xff\xfe",
        "quotes": text.encode() + b'"' * 1001,
        "a | b <script>": b"# promised nan\n# threshold nan\nid,part,score\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "scores.csv").write_bytes(content)
    for name in ("pipe", "link", "folder"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe" / "scores.csv")
    (tmp_path / "link" / "scores.csv").symlink_to(good)
    (tmp_path / "folder" / "scores.csv").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "ann")

    entries = leaderboard.rank(parts[1], tmp_path)

    assert [entry.name for entry in entries if not entry.problems] == ["ann"]
    assert len(entries) == 11
    assert "<script>" not in leaderboard.show(entries).replace("\\<", "")


def test_without_a_seed_the_split_is_a_secret():
    y = np.repeat([0, 1], [60, 8])
    known = [leaderboard.split(np.arange(68.0)[:, None], y)[1].test.tolist() for _ in range(3)]

    assert known[0] != known[1] != known[2]


def test_the_three_worked_submissions_are_judged_as_the_rubric_says(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("worked", ASSIGNMENTS / "project" / "worked.py")
    worked = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worked)
    worked.make_all(tmp_path)

    assert leaderboard.main(["rank", str(tmp_path / "key.npz"), str(tmp_path)]) == 0

    printed = capsys.readouterr().out
    assert printed.index("| 1 | good |") < printed.index("| 2 | mediocre |") < printed.index("| - | leaked |")
    assert "- leaked: The threshold" in printed
    assert "mean plus one standard deviation of the TEST scores" in printed


def test_a_missing_key_is_one_line(tmp_path, capsys):
    assert leaderboard.main(["rank", str(tmp_path / "none.npz"), str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_splitting_writes_both_files(tmp_path, capsys):
    y = np.repeat([0, 1], [60, 8])
    np.savez(tmp_path / "data.npz", x=np.arange(68.0)[:, None], y=y)

    assert leaderboard.main(["split", str(tmp_path / "data.npz"), str(tmp_path / "out")]) == 0

    with (
        np.load(tmp_path / "out" / "for_students.npz") as given,
        np.load(tmp_path / "out" / "key.npz") as key,
    ):
        assert not [name for name in given if "label" in name or name == "y"]
        assert key["labels"].sum() == 8
