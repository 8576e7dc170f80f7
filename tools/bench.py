"""Times training: plain Keras as the listings have it, our `fit`, PyTorch, and the bare arithmetic.

``python -m tools.bench`` measures what has not been measured yet and writes ``notebooks/results/bench.json``;
what was measured is kept below ``_build/bench``, so that an interrupted run goes on where it stopped, and
``--again`` starts over. ``--torch-python PATH`` names a Python that has PyTorch, if this one has not.
``--tiny`` runs everything on a handful of samples, only to see that it works, and writes below ``_build``.

Competitors run in processes of their own, which wait while another one works. An epoch of each is timed in
turn, several times over, and ratios are taken within a turn: what slows the machine for a minute slows all of
them. Every number comes with the lowest and the highest of its repetitions.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.notebook_code import PROJECT

N_HELD_OUT = 5000
GROWTH_IMAGES = 2048  # of each side
REPETITIONS_ON_DISK = 4


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    networks: tuple[str, ...]  # none for all
    parts: tuple[int, ...]  # CIFAR-10 divided by these
    sides: tuple[int, ...]
    rounds: int
    samples: int | None  # of each data set; None for all
    longest: int | None  # epochs of a training at most; None for those of the listing
    seeds: int


FULL = Size((), (8, 4, 2, 1), (32, 64, 128), rounds=5, samples=None, longest=None, seeds=3)
TINY = Size(("mnist_dense", "cifar10_conv"), (1,), (64,), rounds=1, samples=700, longest=2, seeds=1)


# Without some of what makes `fit` fast: "loop" is the compiled loop alone, without XLA or a fused form;
# "shared" is the fused form with all cores on each operation.
TRICKS = {
    "mnist_dense": ["keras_float32", "loop", "ours"],
    "cifar10_conv": ["keras", "loop", "shared", "ours"],
}


# ------------------------------------------------------------------------------------------------------------
# In the processes that are timed


def peak_memory_mb() -> float:
    """Return the most memory that this process has had so far, in MB of 2**20 bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (20 if sys.platform == "darwin" else 10)


def _data(name: str, folder: Path):
    """Return what is trained on and what is held out, as `prepare` stored them."""
    import numpy as np

    x = np.load(folder / f"{name}.npy")
    return x[: -_n_held_out(len(x))], x[-_n_held_out(len(x)) :]


def _n_held_out(n_samples: int) -> int:
    return min(N_HELD_OUT, n_samples // 5)


def prepare(name: str, folder: Path, size: Size) -> None:
    """Store the training data of a network, in an order of their own, for all competitors to read."""
    import numpy as np

    from tools.bench_networks import NETWORKS

    path = folder / f"{name}.npy"
    if path.exists():
        return
    x = NETWORKS[name].load()
    chosen = np.random.default_rng(1).permutation(len(x))[: size.samples]
    partial = path.with_suffix(".partial.npy")
    np.save(partial, x[chosen])
    partial.replace(path)


def answer_epochs(name: str, folder: Path, competitor: str) -> None:
    """Answer every line "epoch" on the standard input with the time that an epoch took."""
    import keras
    import numpy as np

    from dae_utils.training import fit
    from tools.bench_networks import NETWORKS

    network = NETWORKS[name]
    x, _ = _data(name, folder)
    keras.utils.set_random_seed(0)
    model = network.build()
    if competitor in ("ours", "loop", "shared"):
        os.environ["DAE_ENGINE"] = "loop" if competitor == "loop" else "long"

        def train(epochs: int) -> list[float]:
            history = fit(
                model,
                x,
                epochs=epochs,
                batch_size=network.batch_size,
                learning_rate=1e-3,
                schedule="constant",
                loss=network.loss,
            )
            return history.seconds

    else:
        x = x.astype({"keras": network.dtype, "keras_float32": "float32"}[competitor])
        model.compile("adam", network.loss)

        def train(epochs: int) -> list[float]:
            clock = _Clock(time.perf_counter())
            settings = {"batch_size": network.batch_size, "callbacks": [clock.callback()], "verbose": 0}
            model.fit(x, x, epochs=epochs, **settings)
            return list(np.diff([0, *clock.times]))

    train(1)  # compiles
    print(json.dumps({"ready": keras.__version__}), flush=True)
    for line in sys.stdin:
        if line.strip() != "epoch":
            break
        # The first epoch of a call also sets up the data, so it is left out; short ones are timed often.
        lasted = train(2)[-1]
        if lasted < 1:
            lasted = statistics.median(train(10)[1:])
        print(json.dumps({"seconds": lasted, "memory_mb": peak_memory_mb()}), flush=True)


def matrix_speed() -> dict[str, float]:
    """Return the operations (multiplications and additions) a second of a large float32 matrix product."""
    import tensorflow as tf

    n = 4096
    a, product = tf.random.normal((n, n)), tf.function(lambda a: tf.matmul(a, a))
    product(a)
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        product(a).numpy()
        seconds.append(time.perf_counter() - started)
    return {"speed": 2 * n**3 / statistics.median(seconds)}


def whole_training(name: str, folder: Path, size: Size, how: str, seed: int) -> dict[str, object]:
    """Train to the end: the listing in plain Keras, the same through `fit`, or with the other schedule."""
    import keras

    from dae_utils.training import fit
    from tools.bench_networks import NETWORKS

    network = NETWORKS[name]
    x, held_out = _data(name, folder)
    settings = network.sooner if how == "sooner" else network
    epochs = min(settings.epochs, size.longest or settings.epochs)
    keras.utils.set_random_seed(seed)
    model = network.build()
    started = time.perf_counter()
    if how == "listing":
        x, held_out = x.astype(network.dtype), held_out.astype(network.dtype)
        clock = _Clock(started)
        model.compile("adam", network.loss)
        history = model.fit(
            x,
            x,
            epochs=epochs,
            batch_size=settings.batch_size,
            validation_data=(held_out, held_out),
            callbacks=[clock.callback()],
            verbose=0,
        )
        losses, times = history.history["val_loss"], clock.times
    else:
        history = fit(
            model,
            x,
            validation_data=held_out,
            epochs=epochs,
            batch_size=settings.batch_size,
            learning_rate=getattr(settings, "learning_rate", 1e-3),
            schedule="one_cycle" if how == "sooner" else "constant",
            loss=network.loss,
            seed=seed,
        )
        # What passed before the first epoch, such as building the loops, counts as well.
        before = time.perf_counter() - started - sum(history.seconds)
        losses = history.validation_loss
        times = [before + sum(history.seconds[: n + 1]) for n in range(epochs)]
    return {"losses": losses, "times": times, "epochs": epochs, "memory_mb": peak_memory_mb()}


class _Clock:
    """Notes the time after every epoch of `model.fit`."""

    def __init__(self, started: float):
        self.times: list[float] = []
        self._started = started

    def callback(self):
        import keras

        return keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: self.times.append(time.perf_counter() - self._started)
        )


def growth(folder: Path, size: Size, n_images: int, side: int, on_disk: bool) -> dict[str, float]:
    """Train chapter 2's network on images of a side, enlarged by repetition; return time and memory."""
    import keras
    import numpy as np

    from dae_utils.training import fit
    from tools.bench_networks import NETWORKS

    network = NETWORKS["cifar10_conv"]
    path = folder / "cifar10_conv.npy"
    if on_disk:
        x = np.load(_on_disk(folder, n_images), mmap_mode="r")
    else:
        x = np.load(path, mmap_mode="r")[:n_images].copy()
        for axis in (1, 2):
            x = np.repeat(x, side // 32, axis=axis)
    gc.collect()
    model = keras.models.clone_model(network.build(), input_tensors=keras.Input((side, side, 3)))

    def train(x, epochs):
        settings = {"batch_size": network.batch_size, "learning_rate": 1e-3, "loss": network.loss}
        return fit(model, x, epochs=epochs, schedule="constant", **settings).seconds

    if on_disk:
        # What the training itself needs: the same on ten batches in memory.
        train(np.load(path, mmap_mode="r")[: 10 * network.batch_size].copy(), 12)
    own = peak_memory_mb()
    seconds = train(x, 1 if on_disk else 3)
    return {
        "seconds": statistics.median(seconds[-2:]),
        "memory_mb": peak_memory_mb(),
        "above_mb": peak_memory_mb() - own,
        "data_mb": x.nbytes / 2**20,
    }


def repeat_on_disk(folder: Path, n_images: int) -> dict[str, int]:
    """Write a file of as many images as asked for, those of CIFAR-10 over and over."""
    import numpy as np

    path = _on_disk(folder, n_images)
    if not path.exists():
        images, _ = _data("cifar10_conv", folder)
        partial = path.with_suffix(".partial.npy")
        stored = np.lib.format.open_memmap(partial, "w+", np.float32, (n_images, *images.shape[1:]))
        for start in range(0, n_images, len(images)):
            stored[start : start + len(images)] = images[: n_images - start]
        stored.flush()
        del stored
        partial.replace(path)
    return {"bytes": path.stat().st_size}


def _on_disk(folder: Path, n_images: int) -> Path:
    return folder / f"repeated_{n_images}.npy"


def profile(name: str, folder: Path) -> dict[str, float]:
    """Return what the cores spend a step of `fit` on, in milliseconds of one core, as the profiler says."""
    import keras
    import tensorflow as tf

    from dae_utils.training import fit
    from tools.bench_networks import NETWORKS

    network = NETWORKS[name]
    x, _ = _data(name, folder)
    n_steps = min(100, len(x) // network.batch_size)
    x = x[: n_steps * network.batch_size]
    keras.utils.set_random_seed(0)
    model = network.build()
    os.environ["DAE_ENGINE"] = "long"
    settings = {"batch_size": network.batch_size, "schedule": "constant", "loss": network.loss}

    def train(epochs: int) -> None:
        fit(model, x, epochs=epochs, **settings)

    train(100 // n_steps + 1)
    trace = folder / f"{name}.trace"
    shutil.rmtree(trace, ignore_errors=True)
    tf.profiler.experimental.start(str(trace), tf.profiler.experimental.ProfilerOptions(host_tracer_level=3))
    train(100 // n_steps + 1)
    tf.profiler.experimental.stop()
    spent = _by_kind(next(trace.rglob("*.xplane.pb")))
    steps = n_steps * (100 // n_steps + 1)
    return {kind: milliseconds / steps for kind, milliseconds in spent.items()}


def _by_kind(path: Path) -> dict[str, float]:
    """Return the milliseconds in a trace by kind: convolutions, compiled clusters and the rest."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(path.read_bytes())
    spent = {"convolutions": 0.0, "clusters": 0.0, "rest": 0.0}
    for plane in space.planes:
        if "CPU" not in plane.name:
            continue
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if "Conv2D" in name:
                    kind = "convolutions"
                elif name == "CpuExecutable::ExecuteAsyncOnStream":
                    kind = "clusters"
                elif re.search(r"[^:]:_?(?!\w*(While|Call|Launch))[A-Z]\w+$", name):
                    kind = "rest"
                else:
                    continue
                spent[kind] += event.duration_ps / 1e9
    return spent


def measure(folder: Path, size: Size, what: str, *arguments: str) -> dict:
    """Make one measurement."""
    if what == "speed":
        return matrix_speed()
    if what == "train":
        name, how, seed = arguments
        return whole_training(name, folder, size, how, int(seed))
    if what == "repeat":
        return repeat_on_disk(folder, int(arguments[0]))
    if what == "profile":
        return profile(arguments[0], folder)
    n_images, side, on_disk = arguments
    return growth(folder, size, int(n_images), int(side), on_disk == "1")


# ------------------------------------------------------------------------------------------------------------
# In the process that leads


class Competitor:
    """A process that trains one epoch whenever it is asked to."""

    def __init__(self, command: list[str], name: str):
        # Without pools of threads of their own, the sessions of the fast training share that of the process.
        own_threads = "0" if name == "shared" else "1"
        self._process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, "TF_OVERRIDE_GLOBAL_THREADPOOL": own_threads},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def epoch(self) -> dict[str, float]:
        """Return seconds and memory_mb of one epoch."""
        self._process.stdin.write("epoch\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, float]:
        for line in self._process.stdout:
            if line.startswith("{"):  # data sets say where they come from
                return json.loads(line)
        raise RuntimeError(f"a competitor ended before its time: {' '.join(self._process.args)}")


class Bench:
    """The measurements, each made once and kept in a file."""

    def __init__(self, folder: Path, size: Size, torch_python: str | None):
        self.folder, self.size, self.torch_python = folder, size, torch_python
        folder.mkdir(parents=True, exist_ok=True)

    def once(self, name: str, measure: Callable[[], dict]) -> dict:
        """Return a measurement, made now or read from its file."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            print(f"{name} …", end=" ", flush=True)
            started = time.perf_counter()
            measured = measure()
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(measured))
            partial.replace(path)
            print(f"{time.perf_counter() - started:.0f} s", flush=True)
        return json.loads(path.read_text())

    def apart(self, *arguments: object) -> dict:
        """Return what a process of its own measured; in the tiny size it is this one, to save its start."""
        if self.size == TINY:
            return measure(self.folder, self.size, *map(str, arguments))
        command = [*self._command("--measure"), *map(str, arguments)]
        finished = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(finished.stdout.strip().splitlines()[-1])

    def turns(self, name: str, tricks: bool = False) -> dict:
        """Time epochs of all competitors in turn, or (`tricks`) of `fit` without some of its means."""
        from tools.bench_networks import NETWORKS

        network = NETWORKS[name]
        path, loss, batch_size = self.folder / f"{name}.npy", network.loss, str(network.batch_size)
        names = ["keras", "ours"] + (["keras_float32"] if network.dtype != "float32" else [])
        if tricks:
            names = TRICKS[name]
        commands = {each: [*self._command("--answer"), name, each] for each in names}
        if self.torch_python and not tricks:
            # Its process gets all training samples too, in the order of the others.
            script = str(PROJECT / "tools" / "bench_torch.py")
            commands["torch"] = [
                self.torch_python,
                script,
                name,
                str(self._without_held_out(path)),
                loss,
                batch_size,
            ]
        competitors = {each: Competitor(command, each) for each, command in commands.items()}
        measured = {each: [] for each in competitors}
        speeds = []
        for _ in range(min(3, self.size.rounds) if tricks else self.size.rounds):
            speeds.append(self.apart("speed")["speed"])
            for each, competitor in competitors.items():
                measured[each].append(competitor.epoch())
        for competitor in competitors.values():
            competitor.close()
        return {"epochs": measured, "speeds": speeds}

    def _without_held_out(self, path: Path) -> Path:
        import numpy as np

        training = path.with_name(f"{path.stem}.training.npy")
        if not training.exists():
            x = np.load(path)
            np.save(training, x[: -_n_held_out(len(x))])
        return training

    def _command(self, what: str) -> list[str]:
        tiny = ["--tiny"] if self.size == TINY else []
        return [sys.executable, "-m", "tools.bench", *tiny, "--folder", str(self.folder), what]

    def run(self) -> dict[str, tuple]:
        """Measure everything and return (value, low, high, seeds, protocol) by key."""
        from tools.bench_networks import NETWORKS

        entries: dict[str, tuple] = {}
        for name in self.size.networks or NETWORKS:
            self.once(f"{name}.data", lambda name=name: {"prepared": prepare(name, self.folder, self.size)})
            turns = self.once(f"{name}.turns", lambda name=name: self.turns(name))
            entries |= _entries_of_turns(name, turns, self._n_samples(name))
            for how in ("listing", "same", "sooner"):
                seeds = self.size.seeds if how == "sooner" else 1
                runs = [self._training(name, how, seed) for seed in range(seeds)]
                if how == "listing":
                    listing = runs[0]
                else:
                    entries |= _entries_of_training(name, how, listing, runs)
            if name in TRICKS:
                tricks = self.once(f"{name}.tricks", lambda name=name: self.turns(name, tricks=True))
                entries |= _entries_of_tricks(name, tricks)
        if self.size != TINY:
            spent = self.once("cifar10_conv.profile", lambda: self.apart("profile", "cifar10_conv"))
            of = "milliseconds of one core in a step of 128 images, by TensorFlow's profiler"
            entries |= {f"bench.cifar10_conv.spent.{kind}": (*[ms] * 3, 1, of) for kind, ms in spent.items()}
        entries |= self._growth()
        return entries

    def _training(self, name: str, how: str, seed: int) -> dict:
        return self.once(f"{name}.{how}.{seed}", lambda: self.apart("train", name, how, seed))

    def _n_samples(self, name: str) -> int:
        import numpy as np

        n_samples = len(np.load(self.folder / f"{name}.npy", mmap_mode="r"))
        return n_samples - _n_held_out(n_samples)

    def _growth(self) -> dict[str, tuple]:
        n_all = self._n_samples("cifar10_conv")
        entries = {}
        plan = [(f"images_{n_all // part}", n_all // part, 32, 0) for part in self.size.parts]
        plan.append((f"disk_{n_all * REPETITIONS_ON_DISK}", n_all * REPETITIONS_ON_DISK, 32, 1))
        n_images = min(GROWTH_IMAGES, n_all)
        plan += [(f"side_{side}", n_images, side, 0) for side in self.size.sides]
        for key, n, side, on_disk in plan:
            if on_disk:
                # In a process of its own: what writing takes must not count as what training takes.
                self.apart("repeat", n)
            got = self.once(f"growth.{key}", lambda a=(n, side, on_disk): self.apart("growth", *a))
            of = f"{n} images of side {side}, {'from disk' if on_disk else 'in memory'}"
            for unit in ("seconds", "memory_mb", "data_mb") + (("above_mb",) if on_disk else ()):
                entries[f"bench.growth.{key}.{unit}"] = (*[got[unit]] * 3, 1, f"chapter 2's network, {of}")
        return entries


def _spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def _entries_of_turns(name: str, turns: dict, n_samples: int) -> dict[str, tuple]:
    from tools.bench_networks import NETWORKS, training_seconds_at

    model = NETWORKS[name].build()
    seconds = {each: [epoch["seconds"] for epoch in epochs] for each, epochs in turns["epochs"].items()}
    seconds["bound"] = [training_seconds_at(speed, model, n_samples) for speed in turns["speeds"]]
    rounds = len(turns["speeds"])
    of = f"an epoch of {n_samples} samples, median and extremes of {rounds} turns"
    entries = {f"bench.{name}.{each}_seconds": (*_spread(s), rounds, of) for each, s in seconds.items()}
    for each, epochs in turns["epochs"].items():
        memory = [epoch["memory_mb"] for epoch in epochs]
        entries[f"bench.{name}.{each}_memory_mb"] = (
            max(memory),
            max(memory),
            max(memory),
            1,
            "peak, 2^20 bytes",
        )

    def ratio(above: str, below: str) -> tuple:
        return _spread([a / b for a, b in zip(seconds[above], seconds[below], strict=True)])

    for other in sorted(set(seconds) - {"ours", "bound"}):
        entries[f"bench.{name}.{other}_over_ours"] = (*ratio(other, "ours"), rounds, f"time of {of}")
    arithmetic = "time of the network's multiplications at the speed of a matrix product, over that of ours"
    entries[f"bench.{name}.share_of_bound"] = (*ratio("bound", "ours"), rounds, arithmetic)
    return entries


def _entries_of_tricks(name: str, turns: dict) -> dict[str, tuple]:
    seconds = {each: [epoch["seconds"] for epoch in epochs] for each, epochs in turns["epochs"].items()}
    return {
        f"bench.{name}.tricks.{each}_over_ours": (
            *_spread([a / b for a, b in zip(times, seconds["ours"], strict=True)]),
            len(times),
            "time of an epoch, median and extremes of the turns",
        )
        for each, times in seconds.items()
        if each != "ours"
    }


def _entries_of_training(name: str, how: str, listing: dict, runs: list[dict]) -> dict[str, tuple]:
    target, whole = listing["losses"][-1], listing["times"][-1]
    losses = _spread([run["losses"][-1] for run in runs])
    if how == "same":
        difference = losses[0] - target
        apart = f"validation loss after {listing['epochs']} epochs, ours minus plain Keras"
        return {
            f"bench.{name}.listing_loss": (target, target, target, 1, "validation loss, plain Keras"),
            f"bench.{name}.listing_seconds": (
                whole,
                whole,
                whole,
                1,
                "the listing in plain Keras, start to end",
            ),
            f"bench.{name}.listing_epochs": (*[listing["epochs"]] * 3, 1, "epochs of the listing"),
            f"bench.{name}.loss_difference": (difference, difference, difference, 1, apart),
            f"bench.{name}.same_seconds": (*[runs[0]["times"][-1]] * 3, 1, "the listing through fit"),
        }
    reached = [
        next((t for loss, t in zip(run["losses"], run["times"], strict=True) if loss <= target), None)
        for run in runs
    ]
    entries = {
        f"bench.{name}.sooner_loss": (
            *losses,
            len(runs),
            "validation loss at the end of the one-cycle schedule",
        ),
        f"bench.{name}.sooner_epochs": (
            *[runs[0]["epochs"]] * 3,
            len(runs),
            "epochs of the one-cycle schedule",
        ),
    }
    if None in reached:
        missed = sum(r is None for r in reached)
        print(f"{name}: {missed} of {len(runs)} runs did not reach the listing's loss, so no time is given.")
        return entries
    of = "start to the listing's final validation loss, compiling included"
    ratios = _spread([whole / r for r in reached])
    entries[f"bench.{name}.sooner_seconds"] = (*_spread(reached), len(runs), of)
    entries[f"bench.{name}.time_to_listing_loss_ratio"] = (*ratios, len(runs), f"{of}: plain Keras over ours")
    return entries


def save(entries: dict[str, tuple], folder: Path, size: Size) -> Path:
    """Write the results file and return its path."""
    from dae_utils.evaluation import Interval
    from dae_utils.profiles import Profile
    from dae_utils.results import Results

    results = Results("bench", Profile("quick" if size == TINY else "full"), folder)
    for key, (value, low, high, seeds, protocol) in entries.items():
        results.record(key, Interval(value, low, high), seeds=seeds, protocol=protocol)
    return results.save()


def _torch_python(named: str | None) -> str | None:
    python = named or (sys.executable if importlib.util.find_spec("torch") else None)
    if python is None:
        print("PyTorch is not installed here, so it is left out: pip install torch, or --torch-python PATH.")
    return python


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a handful of samples, to see that it works")
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    parser.add_argument("--torch-python", metavar="PATH", help="a Python that has PyTorch")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--answer", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["DAE_PROGRESS"] = "0"
    size = TINY if arguments.tiny else FULL
    folder = arguments.folder or PROJECT / "_build" / ("bench_tiny" if arguments.tiny else "bench")
    if arguments.answer:
        answer_epochs(arguments.answer[0], folder, arguments.answer[1])
    elif arguments.measure:
        print(json.dumps(measure(folder, size, *arguments.measure)))
    else:
        if arguments.again:
            shutil.rmtree(folder, ignore_errors=True)
        bench = Bench(folder, size, _torch_python(arguments.torch_python))
        where = folder if arguments.tiny else PROJECT / "notebooks" / "results"
        print(f"written: {save(bench.run(), where, size)}")


if __name__ == "__main__":
    main()
