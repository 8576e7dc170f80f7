"""Loading a published network in place of its training, and when that is not allowed."""

import dataclasses
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from dae_utils.trained import PublishedNetworkError, load_or_train, read_published, use_published
from dae_utils.trained.storage import rounded, write_published
from dae_utils.training import History, fit
from dae_utils.training.digests import NotDescribableError, digest_of, digests_of_training

NOTEBOOK = "01_toy"
NAME = "01_toy.starter"
library_fit = load_or_train(fit)
SCALE = 2.0


@pytest.fixture(autouse=True)
def notebook_folder(tmp_path, monkeypatch):
    """The folder of a notebook that is run in the full profile by a reader."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAE_PROFILE", "full")
    monkeypatch.delenv("DAE_TRAIN", raising=False)
    monkeypatch.setattr(keras.Model, "fit", keras.Model.fit)  # as it is, also after the test
    use_published(NOTEBOOK, ["starter"], least_seconds=0)
    return tmp_path


def train(
    seed=0,
    rows=64,
    activation="relu",
    optimizer="adam",
    epochs=3,
    name="starter",
    **named,
):
    """The cells of a small notebook: data, network, training. Returns the network and the history."""
    keras.utils.set_random_seed(seed)
    x = np.random.default_rng(0).random((64, 6)).astype("float32")[:rows]
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(3, activation=activation),
            keras.layers.Dense(6, activation="sigmoid"),
        ],
        name=name,
    )
    model.compile(optimizer=optimizer, loss="mse")
    history = model.fit(x, x, epochs=epochs, batch_size=16, verbose=0, **named)
    return model, history


def network(name):
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(6)], name=name)


@pytest.fixture
def published(monkeypatch):
    """The same, as `make execute` runs it; afterwards the reader's settings hold again."""
    monkeypatch.setenv("DAE_TRAIN", "publish")
    trained = train()
    monkeypatch.delenv("DAE_TRAIN")
    return trained


def same_weights(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_it_loads_the_weights_and_the_history_and_says_so(published, capsys):
    model, history = train()

    assert same_weights(model, published[0])
    assert history.history["loss"] == pytest.approx(published[1].history["loss"], rel=1e-6)
    assert history.epoch == [0, 1, 2]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"loaded the published network {NAME}; training it took ")
    assert "DAE_TRAIN=1" in line


def test_an_optimiser_by_name_or_as_an_object_is_the_same(published, capsys):
    train(optimizer=keras.optimizers.Adam())

    assert "loaded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"activation": "tanh"}, "the network"),
        ({"optimizer": "sgd"}, "what it was compiled with"),
        ({"optimizer": keras.optimizers.Adam(2e-3)}, "what it was compiled with"),
        ({"rows": 48}, "the data"),
        ({"seed": 1}, "the seed, the weights that it starts from"),
        ({"epochs": 4}, "the settings of its training"),
        ({"callbacks": [keras.callbacks.EarlyStopping("loss", patience=9)]}, "the settings of its training"),
    ],
)
def test_whatever_changes_the_training_trains_anew(published, capsys, change, reason):
    files = sorted(Path("trained").iterdir())
    before = [file.read_bytes() for file in files]

    model, _ = train(**change)

    (line,) = capsys.readouterr().out.splitlines()
    assert "trained here" in line
    assert reason in line
    assert model.optimizer.iterations > 0
    assert [file.read_bytes() for file in files] == before


def test_what_a_training_shows_does_not_count(published, monkeypatch, capsys):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).random((64, 6)).astype("float32")
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(3, "relu", name="code"), keras.layers.Dense(6, "sigmoid")],
        name="starter",
    )
    model.compile(optimizer="adam", loss="mse", jit_compile=False)
    model.fit(x, y=x, batch_size=16, epochs=3, verbose=2)

    assert capsys.readouterr().out.startswith("loaded")


def test_the_setting_trains_and_stores_nothing(published, monkeypatch, capsys):
    monkeypatch.setenv("DAE_TRAIN", "1")
    stored = Path("trained", f"{NAME}.npz").read_bytes()

    train()

    assert capsys.readouterr().out == ""
    assert Path("trained", f"{NAME}.npz").read_bytes() == stored


def test_reuse_loads_what_fits_and_stores_what_it_has_to_train(published, monkeypatch, capsys):
    monkeypatch.setenv("DAE_TRAIN", "reuse")
    stored = Path("trained", f"{NAME}.npz").read_bytes()

    model, _ = train()
    assert same_weights(model, published[0])
    assert Path("trained", f"{NAME}.npz").read_bytes() == stored

    other, _ = train(epochs=4)
    again, _ = train(epochs=4)
    assert Path("trained", f"{NAME}.npz").read_bytes() != stored
    assert same_weights(again, other)
    assert again.optimizer.iterations == 0  # it was loaded
    # What a page shows does not tell a loaded network from one that was trained just then.
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3
    assert all(
        re.fullmatch(r"starter: trained in .*; your run loads these weights, unless DAE_TRAIN=1", line)
        for line in said
    )


def test_an_unknown_setting_is_refused(monkeypatch):
    monkeypatch.setenv("DAE_TRAIN", "perhaps")

    with pytest.raises(ValueError, match="DAE_TRAIN is 'perhaps'"):
        train()


def test_where_nothing_is_loaded_data_of_any_kind_are_trained_on(monkeypatch, capsys):
    monkeypatch.setenv("DAE_TRAIN", "1")

    with open(os.devnull) as file:
        train(callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: file)])

    assert capsys.readouterr().out == ""


def test_a_quick_run_neither_loads_nor_stores(published, monkeypatch, capsys):
    monkeypatch.setenv("DAE_PROFILE", "quick")
    monkeypatch.setenv("DAE_TRAIN", "publish")
    stored = Path("trained", f"{NAME}.json").read_bytes()

    train(rows=32)

    assert capsys.readouterr().out == ""
    assert Path("trained", f"{NAME}.json").read_bytes() == stored


def test_a_short_training_is_not_stored(monkeypatch):
    monkeypatch.setenv("DAE_TRAIN", "publish")
    use_published(NOTEBOOK, ["starter"])
    train()

    assert not Path("trained").exists()


def test_verifying_refuses_to_train_a_network_that_does_not_fit(published, monkeypatch):
    monkeypatch.setenv("DAE_TRAIN", "never")
    train()

    with pytest.raises(PublishedNetworkError, match=r"made otherwise \(the data changed\)"):
        train(rows=48)


@pytest.mark.parametrize("ending", ["npz", "json"])
@pytest.mark.parametrize("fault", ["cut short", "other bytes", "missing"])
def test_a_damaged_file_is_refused_with_the_way_out(published, ending, fault, monkeypatch, capsys):
    file = Path("trained", f"{NAME}.{ending}")
    content = file.read_bytes()
    if fault == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-20] if fault == "cut short" else content[:40] + b"x" + content[41:])

    if (ending, fault) == ("json", "missing"):
        train()  # without its note there is no published network
        assert capsys.readouterr().out == ""
        return
    with pytest.raises(PublishedNetworkError, match=r"damaged(.|\n)*DAE_TRAIN=1"):
        train()
    monkeypatch.setenv("DAE_TRAIN", "1")
    train()


def test_half_precision_is_what_the_run_computes_with(monkeypatch, capsys):
    use_published(NOTEBOOK, ["starter"], precision="float16", least_seconds=0)
    monkeypatch.setenv("DAE_TRAIN", "publish")
    model, _ = train()
    monkeypatch.delenv("DAE_TRAIN")
    loaded, _ = train()

    assert same_weights(model, loaded)
    assert all(np.array_equal(w, w.astype(np.float16)) for w in model.get_weights())
    stored = read_published(Path("trained"), NAME)
    assert stored.precision == "float16"
    use_published(NOTEBOOK, ["starter"], least_seconds=0)
    train()
    assert "the format of the files changed" in capsys.readouterr().out


def test_the_fast_fit_of_the_library_is_loaded_with_its_history(monkeypatch, capsys):
    x = np.random.default_rng(0).random((64, 6)).astype("float32")

    def cell():
        keras.utils.set_random_seed(0)
        layers = [keras.Input((6,)), keras.layers.Dense(6, activation="sigmoid")]
        model = keras.Sequential(layers, name="starter")
        history = library_fit(model, x, epochs=2, corrupt=lambda rng, clean: clean * SCALE / 2)
        return model, history

    monkeypatch.setenv("DAE_TRAIN", "publish")
    trained, history = cell()
    monkeypatch.delenv("DAE_TRAIN")
    loaded, again = cell()

    assert "loaded" in capsys.readouterr().out
    assert same_weights(trained, loaded)
    assert isinstance(again, History)
    assert again == history
    # A constant that `corrupt` reads decides the training too.
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 1.0)
    cell()
    assert "the settings of its training changed" in capsys.readouterr().out


def test_the_weights_that_a_training_starts_from_count(published, monkeypatch, capsys):
    model, _ = train()
    assert "loaded" in capsys.readouterr().out
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).random((64, 6)).astype("float32")
    model.compile(optimizer="adam", loss="mse")
    model.fit(x, x, epochs=3, batch_size=16, verbose=0)

    assert "(the weights that it starts from changed)" in capsys.readouterr().out


def test_other_networks_are_trained_as_ever(published, capsys):
    model, _ = train(name="other")

    assert model.optimizer.iterations > 0
    assert capsys.readouterr().out == ""


def test_a_training_of_several_fits_is_one(monkeypatch, capsys):
    """A function that calls ``fit`` once an epoch is stored and loaded as a whole."""

    @load_or_train
    def train_by_epochs(model, x, epochs):
        for _ in range(epochs):
            model.fit(x, x, batch_size=16, verbose=0)

    def cell():
        keras.utils.set_random_seed(0)
        model = network("starter")
        model.compile(optimizer="adam", loss="mse")
        train_by_epochs(model, np.random.default_rng(0).random((64, 6)), 3)
        return model

    monkeypatch.setenv("DAE_TRAIN", "publish")
    trained = cell()
    monkeypatch.delenv("DAE_TRAIN")
    assert capsys.readouterr().out.count("starter: trained in") == 1
    assert trained.optimizer.iterations == 12

    assert same_weights(cell(), trained)
    assert capsys.readouterr().out.count("loaded") == 1


def test_a_training_that_can_not_be_described_is_done(capsys):
    with open(os.devnull) as file:
        train(callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: file)])

    assert "it can't be told from other trainings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("notebook", "names", "precision", "message"),
    [
        ("toy", ["starter"], "float32", "toy.starter is not a name"),
        (NOTEBOOK, ["Starter"], "float32", "01_toy.Starter is not a name"),
        (NOTEBOOK, ["starter"], "int8", "precision must be"),
    ],
)
def test_wrong_arguments_are_refused(notebook, names, precision, message):
    with pytest.raises(ValueError, match=message):
        use_published(notebook, names, precision=precision)


def test_a_network_without_shapes_is_refused():
    model = keras.Sequential([keras.layers.Dense(2)], name="starter")
    model.compile(loss="mse")

    with pytest.raises(ValueError, match=r"keras\.Input"):
        model.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)


def test_a_network_that_diverged_is_not_stored(monkeypatch):
    monkeypatch.setenv("DAE_TRAIN", "publish")

    with pytest.raises(ValueError, match="not finite"):
        train(optimizer=keras.optimizers.SGD(float("nan")))


def test_weights_of_another_network_are_refused(published, monkeypatch):
    """Somebody has put the weights of another network in the place of these, checksums and all."""
    stored = read_published(Path("trained"), NAME)
    write_published(Path("trained"), NAME, dataclasses.replace(stored, weights=stored.weights[:1]))

    with pytest.raises(PublishedNetworkError, match=r"do not fit the network(.|\n)*DAE_TRAIN=1"):
        train()


def test_an_error_names_the_folder_that_the_network_is_in(notebook_folder, monkeypatch):
    use_published(NOTEBOOK, ["starter"], least_seconds=0, folder=notebook_folder / "elsewhere")
    monkeypatch.setenv("DAE_TRAIN", "publish")
    train()
    monkeypatch.delenv("DAE_TRAIN")
    weights = notebook_folder / "elsewhere" / f"{NAME}.npz"
    weights.write_bytes(b"")

    with pytest.raises(PublishedNetworkError, match=re.escape(str(weights))):
        train()


def test_a_weight_too_large_for_half_precision_is_refused():
    with pytest.raises(ValueError, match="beyond 65504"):
        rounded([np.array([1e5], np.float32)], "float16")


def test_a_training_has_to_return_its_history(monkeypatch):
    monkeypatch.setenv("DAE_TRAIN", "publish")

    with pytest.raises(TypeError, match="must return a History"):
        load_or_train(lambda model, x: x)(network("starter"), np.ones((4, 2)))


@keras.saving.register_keras_serializable("tests")
class Scaled(keras.layers.Layer):
    """A layer of the reader's own, whose configuration does not say what it does."""

    def call(self, x):
        return x * SCALE


def own_loss(y_true, y_pred):
    return SCALE * keras.ops.mean((y_true - y_pred) ** 2)


def steps(x):
    return sum(SCALE * i for i in range(2)) + (lambda: SCALE)() + x


def decorated(factor):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*arguments):
            return factor * function(*arguments)

        return wrapper

    return decorate


def test_code_of_the_readers_own_counts_and_what_it_reads(monkeypatch):
    def digests():
        model = keras.Sequential([keras.Input((2,)), Scaled(), keras.layers.Dense(2)])
        model.compile("adam", own_loss)
        return digests_of_training(model, model.fit, {}), digest_of(steps)

    before, of_function = digests()
    assert digests() == (before, of_function)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 3.0)
    after, of_function_after = digests()

    assert {part for part in before if before[part] != after[part]} == {"network", "compile"}
    assert of_function != of_function_after
    assert digest_of(decorated(1)(min)) != digest_of(decorated(2)(min))


def test_digests_tell_values_apart_and_equal_ones_together(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "x.npy", array)
    on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")

    assert digest_of(array) == digest_of(array.copy(order="F")) == digest_of(on_disk)
    others = [array.astype("float32"), array.T, array + 1e-12, array.tolist(), 5, "5", 5.0, None, True]
    others += [{"a": array}, {"a": 1}, keras.optimizers.Adam(), keras.optimizers.Adam(2e-3), keras, np]
    others += [functools.partial(min, 1), functools.partial(min, 2), min, np.random.default_rng, [], {}]
    assert len({digest_of(value) for value in [array, *others]}) == len(others) + 1
    nested: list = []
    nested.append(nested)
    assert digest_of(nested) != digest_of([nested])
    for value in (object(), np.array([object()])):
        with pytest.raises(NotDescribableError):
            digest_of(value)


OTHER_BACKEND = """
import sys
sys.path.insert(0, {tests!r})
import keras
assert keras.backend.backend() == "jax"
from test_trained import train, use_published
use_published("01_toy", ["starter"], least_seconds=0)
import numpy as np
model, _ = train()
np.savez("jax.npz", *model.get_weights())
"""


def test_another_backend_loads_what_this_one_trained(published, notebook_folder):
    pytest.importorskip("jax", reason="the other backend is not installed")
    script = OTHER_BACKEND.format(tests=str(Path(__file__).parent))
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=notebook_folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 0, process.stderr
    assert "loaded the published network" in process.stdout
    with np.load(notebook_folder / "jax.npz") as stored:
        for mine, theirs in zip(published[0].get_weights(), stored.values(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_changed_default_of_the_library_is_another_training(monkeypatch, capsys):
    x = np.random.default_rng(0).random((64, 6)).astype("float32")

    def train_once(**settings):
        keras.utils.set_random_seed(0)
        library_fit(network("starter"), x, epochs=1, **settings)
        return capsys.readouterr().out

    monkeypatch.setenv("DAE_TRAIN", "publish")
    train_once()
    monkeypatch.delenv("DAE_TRAIN")
    assert train_once().startswith("loaded")
    # Written out, a default is the same training.
    assert train_once(batch_size=32).startswith("loaded")
    monkeypatch.setitem(fit.__kwdefaults__, "batch_size", 16)
    assert "the settings of its training changed" in train_once()
