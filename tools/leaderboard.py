"""The project at the end of the module: splits a data set, and ranks what was handed in.

``python -m tools.leaderboard split DATA.npz FOLDER`` takes arrays ``x`` and ``y`` (0 normal, 1 anomaly), and
if there is one ``source`` (who or what made each sample), and writes ``for_students.npz`` and the teacher's
``key.npz``. ``python -m tools.leaderboard rank KEY.npz SUBMISSIONS`` scores each
``SUBMISSIONS/NAME/scores.csv`` with the book's own evaluation, says what is wrong, and prints a table.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from dae_utils.evaluation import Interval, bootstrap
from dae_utils.scoring import ConformalThreshold
from tools.coursework.submissions import read_bytes

SHARES = {"train": 0.5, "held-out": 0.2}


@dataclass(frozen=True)
class Key:
    """What only the teacher knows.

    Attributes:
        held_out: (n,) ids of the normal samples that a threshold may be set on.
        test: (m,) ids of the samples that are judged.
        labels: (m,) 1 for an anomaly, 0 for a normal sample.
    """

    held_out: np.ndarray
    test: np.ndarray
    labels: np.ndarray


@dataclass
class Entry:
    """One submission, judged.

    Attributes:
        name: of the folder it lies in.
        auroc: area under the ROC curve on the test samples; None when it could not be scored.
        average_precision: likewise.
        promised: the false-alarm rate that was promised.
        achieved: the rate on normal test samples.
        found: share of the anomalies that raise an alarm.
        problems: what is wrong, each with its reason; a submission with a problem is not ranked.
    """

    name: str
    auroc: Interval | None = None
    average_precision: Interval | None = None
    promised: float = float("nan")
    achieved: float = float("nan")
    found: float = float("nan")
    problems: list[str] = field(default_factory=list)


def split(
    x: np.ndarray, y: np.ndarray, source: np.ndarray | None = None, seed: int | None = None
) -> tuple[dict[str, np.ndarray], Key]:
    """Return what students are given, and the key.

    Half of the normal samples are for training, a fifth is held out for thresholds, the rest is tested on
    together with all anomalies. With `source` given, whole sources go to one side.

    Args:
        x: (n, ...) samples.
        y: (n,) 1 for an anomaly, 0 for a normal sample.
        source: (n,) who or what made each sample.
        seed: of the shuffle; None draws one that nobody knows. With a known one the ids give the rows away.

    Raises:
        ValueError: the arrays do not fit together, or a part would be empty.
    """
    x, y = np.asarray(x), np.asarray(y).astype(bool)
    source = np.arange(len(x)) if source is None else np.asarray(source)
    if not len(x) == len(y) == len(source):
        raise ValueError(f"x, y and source have {len(x)}, {len(y)} and {len(source)} rows.")
    generator = np.random.default_rng(seed)
    # Ids say nothing about where a sample stood in the file.
    ids = generator.permutation(len(x))
    names = generator.permutation(np.unique(source[~y]))
    first, second = np.cumsum([round(share * len(names)) for share in SHARES.values()])
    part = np.full(len(x), "test", dtype="<U8")
    part[~y & np.isin(source, names[:first])] = "train"
    part[~y & np.isin(source, names[first:second])] = "held-out"
    rows = {name: np.flatnonzero(part == name) for name in ("train", "held-out", "test")}
    rows = {name: of[np.argsort(ids[of])] for name, of in rows.items()}
    if min(map(len, rows.values())) == 0 or not y.any() or y[rows["test"]].all():
        raise ValueError("A part would be empty: more normal samples, or more sources, are needed.")
    given = {}
    for name, of in rows.items():
        key = name.replace("-", "_")
        given[f"x_{key}"], given[f"id_{key}"] = x[of], ids[of]
    return given, Key(ids[rows["held-out"]], ids[rows["test"]], y[rows["test"]].astype(int))


def read_scores(path: Path) -> tuple[pd.DataFrame, float, float]:
    """Return the table of a scores.csv, the promised false-alarm rate and the threshold.

    The file begins with the lines ``# promised 0.05`` and ``# threshold 1.23``; then come the columns ``id``,
    ``part`` (``held-out`` or ``test``) and ``score`` (higher = more anomalous).

    Raises:
        ValueError: it is not such a file.
    """
    content, _ = read_bytes(path.parent.parent, (path.parent.name, path.name))
    text = content.decode("utf-8-sig", "replace")
    named = dict(
        line[1:].split()[:2] for line in text.splitlines() if line.startswith("#") and len(line.split()) >= 3
    )
    try:
        promised, threshold = float(named["promised"]), float(named["threshold"])
        table = pd.read_csv(io.StringIO(text), comment="#", dtype={"id": str, "part": str, "score": float})
        numbers = table["id"].str.fullmatch(r"[0-9]{1,15}").fillna(False)
        if list(table.columns) != ["id", "part", "score"] or not 0 < promised < 1 or not numbers.all():
            raise ValueError("columns")
        table["id"] = table["id"].astype("int64")
    except (KeyError, ValueError, AttributeError, pd.errors.ParserError) as error:
        raise ValueError(
            "scores.csv needs the lines '# promised RATE' (between 0 and 1) and '# threshold NUMBER', "
            "then the columns id,part,score."
        ) from error
    return table, promised, threshold


def _explain_threshold(
    threshold: float, promised: float, held: np.ndarray, scores: np.ndarray, labels: np.ndarray
) -> str | None:
    """Return why a threshold cannot have come from the held-out scores, or None when it can."""
    allowed = ConformalThreshold(promised).fit(held).threshold_
    plain = np.quantile(held, 1 - promised)
    # Whoever takes the plain quantile is off by one sample at most.
    ordered = np.sort(held)
    k = np.searchsorted(ordered, plain)
    near = ordered[max(k - 2, 0) : k + 3]
    if np.isclose(threshold, allowed) or near.min() <= threshold <= near.max():
        return None
    normal = scores[labels == 0]
    ranked = np.sort(scores)
    precision_recall = [
        2 * (labels[scores > t]).sum() / max((scores > t).sum() + labels.sum(), 1) for t in ranked
    ]
    best = int(np.argmax(precision_recall))
    recipes = {
        f"the {1 - promised:.0%} quantile of all TEST scores": np.quantile(scores, 1 - promised),
        f"the {1 - promised:.0%} quantile of the NORMAL TEST scores, for which one needs their labels": (
            np.quantile(normal, 1 - promised)
        ),
        "the mean plus one standard deviation of the TEST scores": scores.mean() + scores.std(),
        "the mean plus two standard deviations of the TEST scores": scores.mean() + 2 * scores.std(),
        "the threshold with the best F1 on the TEST samples, for which one needs their labels": ranked[best],
    }
    spread = np.subtract(*np.quantile(scores, [0.75, 0.25]))
    closest = min(recipes, key=lambda name: abs(recipes[name] - threshold))
    text = (
        f"The threshold {threshold:.6g} does not follow from your held-out scores: for {promised:.0%} "
        f"false alarms they give {allowed:.6g}."
    )
    if abs(recipes[closest] - threshold) <= 0.01 * spread:
        text += (
            f" It is {closest}: test data has leaked into the threshold. In use nobody has the test data "
            "when the threshold is set, so the promise cannot be kept, and no result that rests on it counts."
        )
    return text


def judge(name: str, path: Path, key: Key) -> Entry:
    """Return a submission's results, and what is wrong with it."""
    entry = Entry(name)
    try:
        table, entry.promised, threshold = read_scores(path)
    except (OSError, ValueError) as error:
        entry.problems.append(str(error))
        return entry
    parts = {}
    for part, wanted in (("held-out", key.held_out), ("test", key.test)):
        of_part = table[table["part"] == part].set_index("id")["score"]
        missing = len(set(wanted.tolist()) - set(of_part.index))
        if of_part.index.has_duplicates or missing or len(of_part) != len(wanted):
            entry.problems.append(
                f"Part {part} must have each of its {len(wanted)} ids once; {missing} are missing, "
                f"{len(of_part)} are there."
            )
        elif not np.isfinite(of_part).all():
            entry.problems.append(f"Part {part} has scores that are no numbers, or infinite.")
        else:
            parts[part] = of_part.loc[wanted].to_numpy()
    if len(parts) < 2:
        return entry
    held, scores = parts["held-out"], parts["test"]
    entry.auroc = bootstrap(key.labels, scores)
    entry.average_precision = bootstrap(key.labels, scores, metric="average_precision")
    normal = scores[key.labels == 0]
    entry.achieved = float((normal > threshold).mean())
    entry.found = float((scores[key.labels == 1] > threshold).mean())
    leaked = _explain_threshold(threshold, entry.promised, held, scores, key.labels)
    if leaked:
        entry.problems.append(leaked)
    if entry.auroc.high < 0.5:
        entry.problems.append(
            "Normal samples score higher than anomalies: is the sign of the score turned round?"
        )
    # A network that was trained on the held-out samples finds them easier than other normal ones.
    drift = stats.ks_2samp(held, normal, alternative="greater")
    if drift.pvalue < 1e-4:
        entry.problems.append(
            "Held-out samples score clearly lower than the normal test samples: they seem to have been used "
            "for training."
        )
    return entry


def rank(key: Key, folder: Path) -> list[Entry]:
    """Return all submissions in a folder, judged; the best first, those with a problem last."""
    entries = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")) or not (path.is_dir() or path.is_symlink()):
            continue
        try:
            entries.append(judge(path.name, path / "scores.csv", key))
        except Exception as error:
            # Whatever somebody handed in, the others are ranked.
            entries.append(Entry(path.name, problems=[f"could not be judged ({type(error).__name__})"]))
    return sorted(entries, key=lambda e: (bool(e.problems), -(e.auroc.value if e.auroc else 0)))


def _plain(name: str) -> str:
    """Return a name that is nothing but text in Markdown."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    text = "".join(letter if letter.isprintable() else " " for letter in text)[:80]
    return re.sub(r"([\\`*\[\]()#!|<>&~])", r"\\\1", text)


def show(entries: list[Entry]) -> str:
    """Return the leaderboard as a table in Markdown, and below it the problems."""
    lines = [
        "| place | name | AUROC | average precision | false alarms promised | achieved | found |",
        "|---|---|---|---|---|---|---|",
    ]
    for place, entry in enumerate(entries, 1):
        if entry.auroc is None:
            lines.append(f"| - | {_plain(entry.name)} | - | - | - | - | - |")
            continue
        rates = f"{entry.promised:.1%} | {entry.achieved:.1%} | {entry.found:.1%}"
        shown = "-" if entry.problems else place
        lines.append(
            f"| {shown} | {_plain(entry.name)} | {entry.auroc} | {entry.average_precision} | {rates} |"
        )
    lines.append("")
    lines += [f"- {_plain(entry.name)}: {problem}" for entry in entries for problem in entry.problems]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Split a data set or rank submissions; 0 when that worked."""
    parser = argparse.ArgumentParser(prog="python -m tools.leaderboard", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("split", help="make the parts of a data set")
    one.add_argument("data", type=Path)
    one.add_argument("folder", type=Path)
    two = commands.add_parser("rank", help="judge what was handed in")
    two.add_argument("key", type=Path)
    two.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        if options.command == "split":
            with np.load(options.data, allow_pickle=False) as data:
                source = data.get("source")
                given, key = split(data["x"], data["y"], source)
            options.folder.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(options.folder / "for_students.npz", **given)
            np.savez_compressed(
                options.folder / "key.npz", held_out=key.held_out, test=key.test, labels=key.labels
            )
            print(f"For students: {options.folder / 'for_students.npz'}. Keep key.npz to yourself.")
        else:
            with np.load(options.key, allow_pickle=False) as stored:
                key = Key(**stored)
            print(show(rank(key, options.folder)), end="")
    except (OSError, ValueError, KeyError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
