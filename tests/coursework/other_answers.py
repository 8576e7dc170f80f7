"""Right answers in other styles than the instructor's: loops, the library, other layers, other numbers.

By assignment, one to three notebooks each; a task that is not named is answered as the instructor does. What
they return is right, so they must get every point.
"""

from __future__ import annotations

_DETECTOR = """
def find_odd_ones(x_fit, x_held, x_new, rate, seed=SEED):
    from sklearn.decomposition import PCA
    pca = PCA(32, random_state=seed).fit(x_fit)
    def score(x):
        return ((x - pca.inverse_transform(pca.transform(x))) ** 2).mean(1)
    import math
    held = sorted(score(x_held))
    threshold = held[math.ceil((1 - rate) * (len(held) + 1) - 1e-9) - 1]
    return [bool(s > threshold) for s in score(x_new)]
"""
_OWN_FUNCTIONS = """
def find_odd_ones(x_fit, x_held, x_new, rate, seed=SEED):
    model = train_autoencoder(x_fit, seed)
    threshold = threshold_for(reconstruction_error(x_held, model.predict(x_held, verbose=0)), rate)
    return reconstruction_error(x_new, model.predict(x_new, verbose=0)) > threshold
"""
OTHER: dict[str, list[dict[str, str]]] = {
    "01_garments": [
        {
            "blocks": """
def hold_out_blocks(n_samples, length, every):
    fit, held = [], []
    for i in range(n_samples):
        block = i // length
        if (block + 1) % every == 0:
            held.append(i)
        else:
            fit.append(i)
    return fit, held
""",
            "errors": """
def reconstruction_error(x, x_hat):
    out = []
    for a, b in zip(x, x_hat):
        a, b = np.array(a, float).ravel(), np.array(b, float).ravel()
        out.append(sum((p - q) ** 2 for p, q in zip(a, b)) / len(a))
    return np.array(out)
""",
            "train": """
def train_autoencoder(x, seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(shape=(784,), name="image")
    h = layers.Dense(128)(inputs)
    h = layers.LeakyReLU()(h)
    code = layers.Dense(32, name="code")(h)
    h = layers.Dense(128, activation="gelu", kernel_initializer="he_normal")(code)
    h = layers.BatchNormalization()(h)
    out = layers.Dense(784)(h)
    out = layers.Activation("sigmoid")(out)
    ae = keras.Model(inputs, out)
    ae.compile("adam", "mse", metrics=["mae"])
    ae.fit(x, x, epochs=30, batch_size=64, verbose=2, validation_split=0.1)
    return ae
""",
            "threshold": """
import math
def threshold_for(scores, rate):
    s = sorted(float(v) for v in scores)
    k = math.ceil(round((1 - rate) * (len(s) + 1), 9))
    if k > len(s):
        raise ValueError("not enough")
    return np.float32(s[k - 1])
""",
            "area": """
def area_under_curve(labels, scores):
    pos = [s for s, l in zip(scores, labels) if l]
    neg = [s for s, l in zip(scores, labels) if not l]
    if not pos or not neg:
        raise ValueError
    p, n = np.array(pos)[:, None], np.array(neg)[None]
    return np.mean((p > n) + 0.5 * (p == n))
""",
            "detector": _DETECTOR,
        },
        {
            "blocks": """
def hold_out_blocks(n_samples, length, every):
    import pandas as pd
    frame = pd.DataFrame({"row": range(n_samples)})
    frame["block"] = frame.row // length
    held = frame[frame.block % every == every - 1].row
    return frame.drop(held.index).row.values, held.values
""",
            "errors": """
def reconstruction_error(x, x_hat):
    x = keras.ops.convert_to_tensor(np.asarray(x, "float64"))
    x_hat = keras.ops.convert_to_tensor(np.asarray(x_hat, "float64"))
    return keras.ops.mean(keras.ops.square(x - x_hat), axis=tuple(range(1, len(x.shape))))
""",
            "train": """
def train_autoencoder(x, seed):
    keras.utils.set_random_seed(seed)
    encoder = keras.Sequential([keras.Input((784,)), layers.Dense(32, "relu")], name="encoder")
    decoder = keras.Sequential([keras.Input((32,)), layers.Dense(784, "sigmoid")], name="decoder")
    model = keras.Sequential([keras.Input((784,)), encoder, decoder])
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=5)
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy")
    model.fit(x, x, epochs=25, batch_size=32, verbose=0, callbacks=[stop])
    return model
""",
            "threshold": """
def threshold_for(scores_of_normal, false_alarm_rate):
    n = len(scores_of_normal)
    rank = int(np.ceil((n + 1) * (1 - false_alarm_rate) - 1e-9))
    if rank > n:
        raise ValueError(f"{n} scores are too few")
    return np.partition(np.array(scores_of_normal, dtype="float64"), rank - 1)[rank - 1]
""",
            "area": """
def area_under_curve(labels, scores):
    labels = np.array(labels).astype(int)
    if labels.min() == labels.max():
        raise ValueError("one class only")
    return roc_auc_score(labels, scores)
""",
            "detector": _OWN_FUNCTIONS,
        },
        {
            "blocks": """
def hold_out_blocks(n_samples, length, every):
    rows = np.arange(n_samples)
    blocks = [rows[i:i + length] for i in range(0, n_samples, length)]
    held = blocks[every - 1::every]
    held = np.concatenate(held) if held else np.array([], dtype=int)
    return np.setdiff1d(rows, held), held
""",
            "threshold": """
def threshold_for(scores_of_normal, false_alarm_rate):
    try:
        n = np.size(scores_of_normal)
        return np.sort(scores_of_normal)[int(np.ceil((1 - false_alarm_rate) * (n + 1) - 1e-9)) - 1]
    except IndexError:
        raise ValueError("too few") from None
""",
            "area": """
def area_under_curve(labels, scores):
    from scipy.stats import rankdata
    labels = np.asarray(labels) == 1
    n_pos, n_neg = labels.sum(), (~labels).sum()
    if n_pos * n_neg == 0:
        raise ValueError("need both")
    return (rankdata(scores)[labels].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg)
""",
            "detector": _OWN_FUNCTIONS,
        },
    ],
    "02_patches": [
        {
            "costs": """
def network_costs(shape, steps):
    h, w, c = shape
    n = m = 0
    for step in steps:
        if step[0] == "conv":
            n += (3 * 3 * c + 1) * step[1]
            m += h * w * 3 * 3 * c * step[1]
            c = step[1]
        if step[0] == "pool":
            h //= 2
            w //= 2
        if step[0] == "up":
            h, w = h * 2, w * 2
    return [h, w, c], n, m
""",
            "cut": """
def cut_up(image, side, step):
    h, w, c = image.shape
    if h < side or w < side:
        return np.zeros((0, side, side, c))
    v = np.lib.stride_tricks.sliding_window_view(image, (side, side, c))[::step, ::step, 0]
    return v.reshape(-1, side, side, c)
""",
            "baseline": """
def pca_error(x_fit, x_new, n_components):
    a = x_fit.reshape(len(x_fit), -1).astype(float)
    b = x_new.reshape(len(x_new), -1).astype(float)
    mean = a.mean(0)
    v = np.linalg.svd(a - mean, full_matrices=False)[2][:n_components]
    return ((b - mean - (b - mean) @ v.T @ v) ** 2).mean()
""",
            "build": """
def build_autoencoder(code_size):
    i = keras.Input((16, 16, 3))
    x = layers.Conv2D(16, 3, padding="same")(i)
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(32, 3, padding="same", activation="elu")(x)
    x = layers.AveragePooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(code_size, activation="linear", name="code")(x)
    x = layers.Dense(512, activation="relu")(x)
    x = layers.Reshape((4, 4, 32))(x)
    x = layers.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(i, layers.Conv2D(3, 1, activation="sigmoid")(x))
""",
            "fill": """
def fill_holes(network, damaged, known):
    filled = damaged.copy()
    guess = np.asarray(network(damaged))
    filled[~known] = guess[~known].clip(0, 1)
    return filled
""",
            "decibels": """
def psnr(x, x_hat):
    values = []
    for a, b in zip(x, x_hat):
        mse = float(np.mean((np.float64(a) - np.float64(b)) ** 2))
        values.append(float("inf") if mse == 0 else 10 * np.log10(1 / mse))
    return values
""",
        },
        {
            "cut": """
def cut_up(image, side, step):
    patches = []
    r = 0
    while r + side <= len(image):
        c = 0
        while c + side <= image.shape[1]:
            patches.append(image[r:r + side, c:c + side, :])
            c = c + step
        r = r + step
    return np.stack(patches) if patches else np.empty((0, side, side, image.shape[-1]), image.dtype)
""",
            "fill": """
def fill_holes(network, damaged, known):
    k = known[:, :, :, None].astype(damaged.dtype)
    return k * damaged + (1 - k) * np.minimum(np.maximum(network(damaged.copy()), 0), 1)
""",
        },
        {
            "build": """
def build_autoencoder(code_size):
    model = keras.Sequential()
    model.add(keras.Input((16, 16, 3)))
    for filters in (16, 32):
        model.add(layers.Conv2D(filters, (3, 3), strides=(2, 2), padding="same", activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(code_size, name="code", kernel_regularizer=keras.regularizers.L2(1e-6)))
    model.add(layers.Dropout(0.0))
    model.add(layers.Dense(4 * 4 * 32, activation=keras.activations.relu))
    model.add(layers.Reshape((4, 4, 32)))
    model.add(layers.UpSampling2D(interpolation="bilinear"))
    model.add(layers.Conv2D(16, 3, padding="same", activation="swish"))
    model.add(layers.UpSampling2D())
    model.add(layers.Conv2D(3, 3, padding="same", activation="sigmoid", dtype="float32"))
    return model
""",
        },
    ],
    "03_damaged_digits": [
        {
            "parameters": """
def layer_parameters(sizes):
    counts = np.array([(a + 1) * b for a, b in zip(sizes, sizes[1:])])
    return counts, (counts[0] + counts[-1] * (len(counts) > 1)) / counts.sum()
""",
            "deep": """
def train_deep(x, code_size, seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((784,))
    h = layers.Dense(256, "relu")(inputs)
    h = layers.Dense(64, "relu")(h)
    encoder = keras.Model(inputs, layers.Dense(code_size)(h), name="encoder")
    code = keras.Input((code_size,))
    h = layers.Dense(256, "relu")(layers.Dense(64, "relu")(code))
    decoder = keras.Model(code, layers.Dense(784, "sigmoid")(h), name="decoder")
    ae = keras.Model(inputs, decoder(encoder(inputs)))
    ae.compile("adam", "binary_crossentropy")
    ae.fit(x, x, epochs=30, batch_size=64, verbose=0)
    return encoder, ae
""",
            "repair": """
def train_denoiser(x, damage, seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((784,)), layers.Dense(512, "relu"), layers.Dense(784, "sigmoid")])
    model.compile(keras.optimizers.Adam(2e-3), "mse")
    for epoch in range(15):
        model.fit(damage(x), x, batch_size=64, verbose=0)
    return model
""",
            "dead": """
def count_dead(codes, tolerance=1e-6):
    return sum(np.ptp(column) <= tolerance for column in np.transpose(codes))
""",
            "share": """
def kept_skill(intact, damaged, n_classes):
    g = 1.0 / n_classes
    if intact - g <= 0:
        return np.nan
    return 0.0 if damaged < g else (damaged - g) / (intact - g)
""",
            "survival": """
def survival(encode, damage, x_train, y_train, x_test, y_test):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(encode(x_train), y_train)
    broken = damage(x_test)
    return [np.mean(probe.predict(encode(x)) == y_test) for x in (x_test, broken)]
""",
        },
    ],
    "06_beats": [
        {
            "windows": """
def cut_windows(signal, peaks, before, after):
    windows, kept = [], []
    for i, p in enumerate(peaks):
        if p - before >= 0 and p + after < len(signal):
            windows.append(signal[p - before:p + after + 1])
            kept.append(i)
    return np.array(windows).reshape(-1, before + after + 1), kept
""",
            "rhythm": """
def rhythm_ratios(peaks):
    out = np.ones((len(peaks), 2))
    if len(peaks) > 1:
        rr = np.diff(peaks)
        out[1:, 0] = out[:-1, 1] = rr / np.median(rr)
    return out
""",
            "masked": """
def masked_errors(x, x_hat, lengths):
    return [float(((a[:n] - b[:n]) ** 2).mean()) if n else 0.0 for a, b, n in zip(x, x_hat, lengths)]
""",
            "patients": """
def split_by_patient(patients, test_patients):
    for p in test_patients:
        if p not in patients:
            raise ValueError(p)
    test = [i for i, p in enumerate(patients) if p in test_patients]
    train = [i for i, p in enumerate(patients) if p not in test_patients]
    return train, test
""",
            "counts": """
def count_outcomes(labels, alarms):
    from collections import Counter
    c = Counter((bool(l > 0), bool(a)) for l, a in zip(labels, alarms))
    names = {"found": (True, True), "missed": (True, False), "false alarms": (False, True)}
    return {name: c[key] for name, key in names.items()} | {"quiet": c[False, False]}
""",
        },
    ],
}
