"""Metrics, their intervals, and what an alarm means."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from dae_utils import evaluation
from dae_utils.evaluation import (
    Interval,
    auroc,
    average_precision,
    bootstrap,
    bootstrap_mean,
    bootstrap_problems,
    detection_table,
    false_alarm_rate,
    precision_at_prevalence,
    proportion,
)
from dae_utils.evaluation.weighted import (
    SortedPair,
    label_strata,
    resamples,
    weighted_auroc,
    weighted_average_precision,
)

METRICS = ["auroc", "average_precision"]


def normal_scores(seed: int, n_normals: int = 60, n_anomalies: int = 60, shift: float = 1.0):
    """Labels and Gaussian scores; anomalies lie `shift` higher. AUROC = Phi(shift / sqrt 2)."""
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [n_normals, n_anomalies])
    return labels, generator.normal(size=len(labels)) + shift * labels


@st.composite
def tied_problem(draw):
    """Labels of both classes, scores with many ties, and how often each sample was drawn."""
    n = draw(st.integers(2, 40))
    labels = draw(hnp.arrays(bool, n))
    scores = draw(hnp.arrays(np.int64, n, elements=st.integers(-4, 4))).astype(float)
    weights = draw(hnp.arrays(np.int64, (n, 3), elements=st.integers(0, 4)))
    assume((weights[labels].sum(axis=0) > 0).all())
    assume((weights[~labels].sum(axis=0) > 0).all())
    return labels, scores, weights


# Metrics


def test_auroc_by_hand():
    # Pairs (anomaly, normal): 3 beats 1 and 2; 2 beats 1 and ties with 2: 3.5 of 4.
    assert auroc([0, 0, 1, 1], [1, 2, 3, 2]) == pytest.approx(3.5 / 4)


def test_average_precision_by_hand():
    # Anomalies rank first and third: (1/1 + 2/3) / 2.
    assert average_precision([1, 0, 1, 0], [4, 3, 2, 1]) == pytest.approx((1 + 2 / 3) / 2)


def test_a_perfect_average_precision_is_one_and_not_a_hair_more():
    labels = np.repeat([0, 1], 43)  # one of the sizes at which scikit-learn's sum ends above 1

    assert average_precision_score(labels, np.arange(86)) > 1
    assert average_precision(labels, np.arange(86)) == 1
    interval = bootstrap(labels, np.arange(86), "average_precision")
    assert interval.low <= interval.value <= interval.high


@settings(deadline=None, max_examples=15)
@given(tied_problem())
def test_auroc_needs_only_the_order(problem):
    labels, scores, _ = problem
    value = auroc(labels, scores)
    assert 0 <= value <= 1
    assert auroc(labels, np.exp(scores)) == pytest.approx(value)
    assert auroc(labels, scores**3 - 7) == pytest.approx(value)
    assert auroc(labels, -scores) == pytest.approx(1 - value)
    assert auroc(~labels, scores) == pytest.approx(1 - value)


@settings(deadline=None, max_examples=15)
@given(tied_problem())
def test_weighted_metrics_agree_with_scikit_learn(problem):
    labels, scores, weights = problem
    pair = SortedPair(labels, scores)
    for resampled, reference in [
        (weighted_auroc, roc_auc_score),
        (weighted_average_precision, average_precision_score),
    ]:
        ours = resampled(pair, weights.astype(np.float32))
        theirs = [reference(labels, scores, sample_weight=column) for column in weights.T]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_weighted_auroc_is_exact_for_many_samples():
    # 6000 x 6000 pairs are more than float32 can count one by one.
    labels, scores = normal_scores(0, 6000, 6000)
    pair = SortedPair(labels.astype(bool), scores)
    value = weighted_auroc(pair, np.ones((12000, 1), np.float32))
    assert value[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("metric", [auroc, average_precision, bootstrap])
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 0, 0], [1, 2, 3], "normal samples only"),
        ([1, 1, 1], [1, 2, 3], "anomalies only"),
        ([0, 1], [1, 2, 3], "2 values but there are 3 samples"),
        ([0, 1, 1], [1, np.nan, 3], "NaN"),
        ([0, 1, 1], [1, np.inf, 3], "infinite"),
        ([], [], "empty"),
        ([0, 1, 7], [1, 2, 3], "compare classes first"),
        ([0, 1, 1], [[1], [2], [3]], "shape"),
    ],
)
def test_bad_input_is_refused(metric, labels, scores, message):
    with pytest.raises(ValueError, match=message):
        metric(labels, scores)


# Intervals


def test_interval_prints_value_and_limits():
    interval = Interval(0.9751, 0.9718, 0.9784)
    assert str(interval) == f"{interval}" == "0.975 [0.972, 0.978]"
    assert f"{interval:.1%}" == "97.5% [97.2%, 97.8%]"
    with pytest.raises(AttributeError):
        interval.value = 1.0


@pytest.mark.parametrize("metric", METRICS)
def test_bootstrap_agrees_with_scipy(metric):
    labels, scores = normal_scores(3, 40, 25)
    function = getattr(evaluation, metric)

    # Rows are resamples. Written out for scores without ties, since thousands of calls of scikit-learn's take
    # many seconds; that it is the same metric is checked on the samples themselves.
    def statistic(normals, anomalies, axis=-1):
        below = (anomalies[..., :, np.newaxis] > normals[..., np.newaxis, :]).sum(axis=-1)
        equal = (anomalies[..., :, np.newaxis] == normals[..., np.newaxis, :]).sum(axis=-1)
        if metric == "auroc":
            return (below + equal / 2).mean(axis=-1) / normals.shape[-1]
        alarms = (anomalies[..., np.newaxis, :] >= anomalies[..., :, np.newaxis]).sum(axis=-1)
        return (alarms / (alarms + normals.shape[-1] - below)).mean(axis=-1)

    assert statistic(scores[labels == 0], scores[labels == 1]) == pytest.approx(function(labels, scores))
    reference = stats.bootstrap(
        (scores[labels == 0], scores[labels == 1]),
        statistic,
        vectorized=True,
        batch=500,
        n_resamples=4000,
        method="percentile",
        rng=1,
    ).confidence_interval
    ours = bootstrap(labels, scores, metric, n_resamples=4000)
    assert ours.value == function(labels, scores)
    # Two runs of SciPy's own differ by about 0.003.
    assert ours.low == pytest.approx(reference.low, abs=0.012)
    assert ours.high == pytest.approx(reference.high, abs=0.012)


def test_bootstrap_width_agrees_with_delong():
    # DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988): variance from each sample's share of won pairs.
    labels, scores = normal_scores(5, 500, 300)
    won = scores[labels == 1][:, np.newaxis] > scores[labels == 0]
    variance = won.mean(axis=1).var(ddof=1) / 300 + won.mean(axis=0).var(ddof=1) / 500
    interval = bootstrap(labels, scores, n_resamples=4000, confidence=0.9)
    assert interval.high - interval.low == pytest.approx(2 * 1.645 * np.sqrt(variance), rel=0.06)


@pytest.mark.parametrize("metric", METRICS)
def test_bootstrap_covers_the_truth_as_often_as_it_says(metric):
    # The truth: a closed form for AUROC, a large sample for average precision.
    truth = {
        "auroc": stats.norm.cdf(1 / np.sqrt(2)),
        "average_precision": average_precision(*normal_scores(99, 100_000, 100_000)),
    }[metric]
    covered = 0
    for seed in range(150):
        interval = bootstrap(*normal_scores(seed, 100, 100), metric, n_resamples=200, seed=seed)
        covered += interval.low <= truth <= interval.high
    # 142 are expected; the percentile interval is known to be a little short for a hundred samples.
    low, high = stats.binom.ppf([0.0005, 0.9995], 150, 0.94)
    assert low <= covered <= high


def few_anomalies(seed: int, n_anomalies: int = 5):
    """Labels and scores of a hundred normal samples and a handful of anomalies."""
    return normal_scores(seed, 100, n_anomalies, shift=1.5)


def test_a_corrected_interval_covers_the_truth_with_few_anomalies():
    truth = stats.norm.cdf(1.5 / np.sqrt(2))
    hits = np.zeros(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(60):
            for kind, corrected in enumerate((True, False)):
                found = bootstrap(*few_anomalies(seed), n_resamples=300, seed=seed, corrected=corrected)
                hits[kind] += found.low <= truth <= found.high
    # The same samples for both. With five anomalies the areas are too skewed for the full 95 %.
    assert hits[0] >= 48
    assert hits[0] >= hits[1] + 3


def test_an_interval_of_few_anomalies_names_the_way_out():
    labels, scores = few_anomalies(0, n_anomalies=19)
    for function, scores_ in ((bootstrap, scores), (bootstrap_problems, scores[np.newaxis])):
        arguments = (labels, scores_) if function is bootstrap else (scores_, labels)
        with pytest.warns(UserWarning, match="rarer class has 19 samples.*corrected=True") as caught:
            plain = function(*arguments)
        # It points at the call, not into the library.
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            corrected = function(*arguments, corrected=True)
            function(*(np.concatenate([part, part], axis=-1) for part in arguments))
        assert corrected.value == plain.value
        assert corrected.low < plain.low
        assert corrected.high > plain.high
    with pytest.raises(ValueError, match="one sample of a class"):
        bootstrap(*few_anomalies(0, n_anomalies=1), corrected=True)


def test_bootstrap_is_reproducible_and_seeded():
    labels, scores = normal_scores(1)
    assert bootstrap(labels, scores, seed=4) == bootstrap(labels, scores, seed=4)
    assert bootstrap(labels, scores, seed=4) != bootstrap(labels, scores, seed=5)


def test_bootstrap_keeps_the_share_of_anomalies():
    # Average precision of useless scores is the share of anomalies: constant when each class keeps its size.
    interval = bootstrap([0] * 60 + [1] * 20, np.zeros(80), "average_precision")
    assert (interval.low, interval.value, interval.high) == pytest.approx((0.25, 0.25, 0.25))


def test_resamples_draw_with_equal_chance_within_groups():
    groups = [np.array([0, 2, 4]), np.array([1, 3])]
    weights = np.concatenate(list(resamples(groups, 4000, seed=0)), axis=1)
    assert weights.shape == (5, 4000)
    for group in groups:
        np.testing.assert_array_equal(weights[group].sum(axis=0), len(group))
    # Each count is binomial with mean 1.
    np.testing.assert_allclose(weights.mean(axis=1), 1, atol=0.06)
    np.testing.assert_allclose(weights.var(axis=1), [2 / 3, 1 / 2, 2 / 3, 1 / 2, 2 / 3], atol=0.06)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"metric": "accuracy"}, "metric must be one of 'auroc', 'average_precision'"),
        ({"n_resamples": 1}, "n_resamples"),
        ({"confidence": 95}, "confidence"),
    ],
)
def test_bad_bootstrap_settings_are_refused(settings_, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(*normal_scores(0), **settings_)


def ten_problems(seed: int = 0, n_seeds: int = 3, n_samples: int = 400):
    """Scores (10, n_seeds, n_samples), labels (10, n_samples): which of ten classes is normal?"""
    generator = np.random.default_rng(seed)
    classes = generator.integers(10, size=n_samples)
    labels = classes != np.arange(10)[:, np.newaxis]
    return generator.normal(size=(10, n_seeds, n_samples)) + labels[:, np.newaxis], labels


@pytest.mark.parametrize("metric", METRICS)
def test_problems_report_mean_and_spread(metric):
    scores, labels = ten_problems()
    result = bootstrap_problems(scores, labels, metric, n_resamples=250)
    function = getattr(evaluation, metric)
    expected = [[function(labels[p], scores[p, s]) for s in range(3)] for p in range(10)]
    np.testing.assert_allclose(result.per_problem, expected)
    assert result.value == pytest.approx(np.mean(expected))
    assert result.seed_spread == pytest.approx(np.std(np.mean(expected, axis=0), ddof=1))
    assert result.low < result.value < result.high
    assert str(result) == f"{result.value:.3f} [{result.low:.3f}, {result.high:.3f}]"


def plain_auroc(labels, scores, weights):
    """The share of pairs (anomaly, normal sample) that the anomaly wins, scores without ties."""
    won = scores[labels][:, np.newaxis] > scores[~labels]
    return weights[labels] @ won @ weights[~labels] / (weights[labels].sum() * weights[~labels].sum())


@pytest.mark.filterwarnings("ignore:the rarer class")
def test_problems_agree_with_a_plain_loop():
    # 110 resamples: more than are handled together.
    scores, labels = ten_problems(n_seeds=2, n_samples=200)
    result = bootstrap_problems(scores, labels, n_resamples=110, seed=7)
    means = []
    groups = label_strata(labels)
    assert len(groups) == 10
    for block in resamples(groups, 110, 7):
        for weights in block.T:
            values = [plain_auroc(labels[p], scores[p, s], weights) for p in range(10) for s in range(2)]
            means.append(np.mean(values))
    np.testing.assert_allclose(result.resampled, means, atol=1e-6)
    np.testing.assert_allclose([result.low, result.high], np.quantile(means, [0.025, 0.975]), atol=1e-6)


def test_problems_share_their_draws():
    # The same problem ten times tells no more than once: the interval must not shrink.
    labels, scores = normal_scores(2)
    once = bootstrap(labels, scores)
    for stacked in (np.stack([scores] * 10), np.stack([[scores] * 2] * 10)):
        repeated = bootstrap_problems(stacked, labels)
        assert (repeated.value, repeated.low, repeated.high) == pytest.approx(
            (once.value, once.low, once.high)
        )


def test_resamples_of_two_methods_are_paired():
    # A second method that is a little worse on every image: the difference must be nearly free of the chance
    # in the images, which moves both methods together.
    scores, labels = ten_problems(n_samples=600)
    generator = np.random.default_rng(1)
    worse = scores + 0.3 * generator.normal(size=scores.shape)
    ours, theirs = (bootstrap_problems(method, labels, n_resamples=300) for method in (scores, worse))
    np.testing.assert_array_equal(
        ours.resampled, bootstrap_problems(scores, labels, n_resamples=300).resampled
    )
    difference = ours.resampled - theirs.resampled
    assert difference.mean() == pytest.approx(ours.value - theirs.value, abs=0.002)
    assert difference.std() < 0.5 * ours.resampled.std()
    unpaired = bootstrap_problems(worse, labels, n_resamples=300, seed=1)
    assert (ours.resampled - unpaired.resampled).std() > 2 * difference.std()


def test_one_seed_has_no_spread():
    scores, labels = ten_problems(n_seeds=1)
    result = bootstrap_problems(scores[:, 0], labels, n_resamples=50)
    assert result.seed_spread is None
    assert result.per_problem.shape == (10, 1)
    assert result == bootstrap_problems(scores, labels, n_resamples=50)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros(4), [0, 1, 0, 1], "it must be"),
        (np.zeros((2, 4)), np.zeros((3, 4)), "give labels of shape"),
        (np.zeros((2, 1, 4)), [0, 1], "give labels of shape"),
        (np.zeros((2, 4)), [[0, 1, 0, 1], [0, 0, 0, 0]], r"labels\[1\] holds normal samples only"),
        (np.full((2, 4), np.nan), [0, 1, 0, 1], "NaN"),
        ([[0.1, 0.2], [0.3]], [0, 1], "differ in length"),
        ([], [], "empty"),
    ],
)
def test_bad_problems_are_refused(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_problems(scores, labels)


def test_a_mean_over_groups_is_as_uncertain_as_its_few_groups():
    # Twenty beats of each patient, all alike: the same as one value for each patient.
    of_patient = np.random.default_rng(0).normal(size=15)
    values, patients = np.repeat(of_patient, 20), np.repeat(list("abcdefghijklmno"), 20)
    grouped = bootstrap_mean(values, n_resamples=4000, groups=patients)
    student = stats.t.interval(0.95, 14, of_patient.mean(), stats.sem(of_patient))
    assert grouped.value == pytest.approx(of_patient.mean())
    assert (grouped.low, grouped.high) == pytest.approx(student, abs=0.1)
    alone = bootstrap_mean(values)
    assert grouped.high - grouped.low > 4 * (alone.high - alone.low)
    with pytest.raises(ValueError, match="one group for each of 300"):
        bootstrap_mean(values, groups=patients[1:])
    with pytest.raises(ValueError, match="single group"):
        bootstrap_mean(values, groups=np.zeros(300))


def test_a_corrected_mean_of_single_samples_is_that_of_groups_of_one():
    values = np.random.default_rng(4).normal(size=8)
    student = stats.t.interval(0.95, 7, values.mean(), stats.sem(values))
    corrected = bootstrap_mean(values, n_resamples=4000, corrected=True)
    grouped = bootstrap_mean(values, n_resamples=4000, groups=np.arange(8))
    plain = bootstrap_mean(values, n_resamples=4000)
    assert (corrected.low, corrected.high) == pytest.approx((grouped.low, grouped.high), abs=0.05)
    assert (corrected.low, corrected.high) == pytest.approx(student, abs=0.15)
    assert corrected.high - corrected.low > 1.2 * (plain.high - plain.low)
    with pytest.raises(ValueError, match="no spread"):
        bootstrap_mean([1.0], corrected=True)


@pytest.mark.parametrize(("values", "message"), [(np.zeros((2, 2, 2)), "shape"), ([np.nan, 1], "NaN")])
def test_bad_values_have_no_mean(values, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_mean(values)


# Alarms


def test_proportion_by_hand():
    # Wilson, 8 of 10: centre (0.8 + z^2 / 20) / (1 + z^2 / 10).
    interval = proportion(8, 10)
    z = stats.norm.ppf(0.975)
    assert (interval.low + interval.high) / 2 == pytest.approx((0.8 + z**2 / 20) / (1 + z**2 / 10))
    exact = proportion(8, 10, method="exact")
    assert exact.low == pytest.approx(stats.beta.ppf(0.025, 8, 3))
    assert exact.high == pytest.approx(stats.beta.ppf(0.975, 9, 2))
    assert proportion(0, 10).low == 0
    assert proportion(10, 10).high == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 0), "total"),
        ((11, 10), "successes"),
        ((-1, 10), "successes"),
        ((5, 10, 0.95, "wald"), "method"),
        ((5, 10, 1.0), "confidence"),
    ],
)
def test_bad_proportions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        proportion(*arguments)


def test_false_alarm_rate():
    assert false_alarm_rate([True, False, False, False]) == proportion(1, 4)
    with pytest.raises(ValueError, match="alarms_on_normals is empty"):
        false_alarm_rate([])


def test_detection_table_by_hand():
    labels = [1, 1, 1, 0, 0, 0, 0, 0]
    alarms = [1, 1, 0, 1, 0, 0, 0, 0]
    table = detection_table(labels, alarms)
    assert table["true_positives"] == 2
    assert table["false_negatives"] == 1
    assert table["false_alarms"] == 1
    assert table["true_negatives"] == 4
    assert table["sensitivity"] == proportion(2, 3)
    assert table["false_alarm_rate"] == proportion(1, 5)
    assert table["precision"] == proportion(2, 3)
    assert detection_table(labels, alarms, 0.9, "exact")["sensitivity"] == proportion(2, 3, 0.9, "exact")


def alarms_of_patients(seed: int = 0, n_patients: int = 22, n_beats: int = 40):
    """Labels, alarms and patients: whether a beat raises an alarm is mostly a matter of whose it is."""
    generator = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), n_beats)
    labels = generator.random(len(patients)) < 0.3
    chance = np.where(labels, 0.5, 0.05) + 0.4 * (generator.random(n_patients) < 0.3)[patients]
    return labels, generator.random(len(patients)) < chance, patients


def test_alarms_of_few_patients_are_drawn_patient_by_patient():
    labels, alarms, patients = alarms_of_patients()
    single, grouped = detection_table(labels, alarms), detection_table(labels, alarms, groups=patients)
    for name, of in (("sensitivity", labels), ("false_alarm_rate", ~labels), ("precision", alarms)):
        flags = labels if name == "precision" else alarms
        assert grouped[name] == bootstrap_mean(flags[of], groups=patients[of])
        assert grouped[name].value == single[name].value
    wide, narrow = (table["false_alarm_rate"] for table in (grouped, single))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert wide == false_alarm_rate(alarms[~labels], groups=patients[~labels])
    assert false_alarm_rate(alarms[~labels], 0.5, groups=patients[~labels]).low > wide.low
    assert [grouped[name] for name in ("true_positives", "false_alarms")] == [
        single[name] for name in ("true_positives", "false_alarms")
    ]


def test_the_false_alarm_rate_of_other_patients_is_covered():
    # One in three patients raises alarms all the time: 1/3 over all patients there could be.
    hits = 0
    for seed in range(200):
        alarms = np.repeat(np.random.default_rng(seed).random(20) < 1 / 3, 10)
        interval = false_alarm_rate(alarms, groups=np.arange(200) // 10)
        hits += interval.low <= 1 / 3 <= interval.high
    assert hits >= 0.9 * 200


@pytest.mark.parametrize("alarm", [False, True])
def test_groups_that_are_all_alike_leave_room_for_another(alarm):
    interval = false_alarm_rate(np.full(300, alarm), groups=np.arange(300) % 6)
    assert interval == proportion(6 * alarm, 6)


def test_what_comes_from_one_group_says_nothing_about_others():
    labels, groups = np.array([1, 1, 0, 0, 0]), np.array([0, 0, 1, 2, 1])
    with pytest.raises(ValueError, match="all anomalies are of one group"):
        detection_table(labels, [1, 0, 0, 0, 0], groups=groups)
    with pytest.raises(ValueError, match="all normal samples are of one group"):
        detection_table(1 - labels, [1, 0, 0, 0, 0], groups=groups)
    assert detection_table([1, 1, 0, 0], [1, 0, 1, 0], groups=[0, 1, 0, 1])["precision"] is None
    assert detection_table([1, 1, 0, 0], [0, 0, 0, 0], groups=[0, 1, 0, 1])["precision"] is None
    for wrong in (
        lambda: detection_table([1, 0], [1, 0], groups=[1]),
        lambda: false_alarm_rate([1], groups=[]),
    ):
        with pytest.raises(ValueError, match="groups has shape"):
            wrong()


def test_precision_without_alarms_is_not_defined():
    assert detection_table([1, 0], [0, 0])["precision"] is None


@pytest.mark.parametrize(
    ("labels", "alarms", "message"),
    [
        ([1, 1], [0, 1], "anomalies only"),
        ([0, 1], [1, -1], "prediction == -1"),
        ([0, 1], [1], "alarms holds 1 values"),
        ([0, 1], [0.2, 0.9], "alarms must be 0 or 1"),
    ],
)
def test_bad_alarms_are_refused(labels, alarms, message):
    with pytest.raises(ValueError, match=message):
        detection_table(labels, alarms)


def test_precision_at_prevalence_by_hand():
    # Of 100 000 samples 100 are anomalous, 99 found; 4995 false alarms.
    assert precision_at_prevalence(0.99, 0.05, 0.001) == pytest.approx(99 / (99 + 4995))
    assert precision_at_prevalence(0.99, 0.05, 0.5) == pytest.approx(0.99 / 1.04)
    assert precision_at_prevalence(0.5, 0.0, 0.001) == 1
    assert precision_at_prevalence(0.5, 0.1, 0) == 0


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(1, 1000), st.integers(1, 1000))
def test_precision_at_prevalence_agrees_with_counts(sensitivity, rate, anomalies, normals):
    precision = precision_at_prevalence(sensitivity, rate, anomalies / (anomalies + normals))
    expected = sensitivity * anomalies / (sensitivity * anomalies + rate * normals)
    assert precision == pytest.approx(expected)


@pytest.mark.parametrize("arguments", [(1.1, 0.1, 0.1), (0.9, -0.1, 0.1), (0.9, 0.1, 2), (0.9, 5, 0.1)])
def test_bad_rates_are_refused(arguments):
    with pytest.raises(ValueError, match="fraction between 0 and 1"):
        precision_at_prevalence(*arguments)


def test_precision_needs_a_possible_alarm():
    with pytest.raises(ValueError, match="no alarm is ever raised"):
        precision_at_prevalence(0, 0, 0.5)


def test_the_interval_of_a_mean_agrees_with_the_standard_error():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=4000)

    interval = bootstrap_mean(values)

    assert interval.value == pytest.approx(values.mean())
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert interval.high - interval.value == pytest.approx(half, rel=0.15)
    assert interval.value - interval.low == pytest.approx(half, rel=0.15)


def test_the_interval_of_a_mean_agrees_with_scipy():
    values = np.random.default_rng(1).exponential(size=300)

    interval = bootstrap_mean(values, n_resamples=4000)

    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=2)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert interval.low == pytest.approx(theirs.confidence_interval.low, abs=0.06 * width)
    assert interval.high == pytest.approx(theirs.confidence_interval.high, abs=0.06 * width)


def test_seeds_are_averaged_before_samples_are_drawn():
    values = np.random.default_rng(2).normal(size=(3, 200))

    assert bootstrap_mean(values) == bootstrap_mean(values.mean(axis=0))


def test_the_mean_of_equal_values_has_no_width_and_flags_count_as_numbers():
    assert bootstrap_mean(np.full(7, 0.1)) == Interval(*[pytest.approx(0.1)] * 3)
    assert bootstrap_mean(np.array([True, False, True, True])).value == 0.75


@pytest.mark.parametrize(
    "values", [[], [np.nan, 1.0], np.zeros((2, 2, 2)), 1.0], ids=["empty", "nan", "axes", "number"]
)
def test_a_mean_of_what_is_not_a_row_of_numbers_is_refused(values):
    with pytest.raises(ValueError, match="values"):
        bootstrap_mean(values)
