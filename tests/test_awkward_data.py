"""Data of any scale, with a constant column, with heavy tails; and the flags that help."""

import numpy as np
import pytest
from helpers import history, npy_file, read_json

import data_processing
import vae_main
import vae_models
from analysis import sampling
from training import columns, loop, saved_model
from training.errors import Stopped
from training.settings import Settings, complete_sizes, read_config
from training.standardization import Standardization, moments, standardization_of
from vae_models import VAE

MEAN, STD = np.array([1e6, -2e-6, 0.5]), np.array([2e6, 3e-6, 1.0])


@pytest.fixture(scope="session")
def rows(data_file):
    return np.loadtxt(data_file)


def elbo(folder):
    """The ELBO of the training rows and of the held-out rows in every epoch, (n_epoch, 2)."""
    return np.array([[float(row["elbo"]), float(row["elbo_held_out"])] for row in history(folder)])


def test_standardized_training_is_the_same_in_any_units(uncompiled, train, rows, tmp_path):
    flags = ["--n_epoch", "1"]
    here = train(vae_main.main, *flags)
    there = train(vae_main.main, *flags, "--data_path", str(npy_file(tmp_path, rows * STD)))
    np.testing.assert_allclose(elbo(there) + np.log(STD).sum(), elbo(here), rtol=0, atol=2e-3)
    gaps = [read_json(folder / "report.json")["gap"] for folder in (here, there)]
    assert gaps[0] == pytest.approx(gaps[1], abs=2e-3)
    generated, expected = (
        sampling.generate(saved_model.load_model(folder, vae_models.make_model)[0], 50, seed=1)
        for folder in (there, here)
    )
    np.testing.assert_allclose(generated / STD, expected, rtol=1e-3, atol=1e-3)


def test_config_tells_what_standardization_took_away(vae_run, rows):
    data = data_processing.get_data(read_config(vae_run, ("vae",)))
    units = read_json(vae_run / "config.json")["standardization"]
    np.testing.assert_allclose(data.x_train.mean(axis=0), np.zeros(3), atol=1e-6)
    np.testing.assert_allclose(data.x_train.std(axis=0), np.ones(3), rtol=1e-6)
    x_train = np.array(units["mean"]) + np.array(units["std"]) * data.x_train
    distance = np.abs(x_train[:, np.newaxis] - rows).max(axis=-1).min(axis=-1)
    assert len(x_train) == 38 and distance.max() < 1e-6


def test_a_column_far_from_zero_keeps_its_digits():
    seconds = 1.6e9 + 60.0 * np.arange(500)  # float32 has steps of 128 there
    x = np.column_stack([seconds, np.zeros(500)])
    units = standardization_of(x.mean(axis=0), x.std(axis=0))
    u = units.apply(x)
    assert u.dtype == np.float32
    assert len(np.unique(u[:, 0])) == 500
    np.testing.assert_allclose(units.undo(u)[:, 0], seconds, rtol=0, atol=0.01)
    np.testing.assert_array_equal(u[:, 1], 0.0)  # a constant column has the unit 1


def test_whole_numbers_beyond_the_digits_of_float64_do_not_merge():
    x = 2**60 + np.arange(1500).reshape(-1, 1)
    mean, covariance = moments(x)
    np.testing.assert_allclose(covariance, [[np.var(np.arange(1500), ddof=1)]])
    np.testing.assert_allclose(mean, 2**60 + 749.5)
    units = standardization_of(mean, np.sqrt(np.diag(covariance)))
    assert len(np.unique(units.apply(x))) == 1500


@pytest.mark.parametrize(
    ("decoder_std", "min_log_std"), [("learned", -1.0), (0.25, None), ("shared", None)]
)
def test_the_decoder_in_the_files_does_for_data_what_the_standardized_one_does(
    tmp_path, decoder_std, min_log_std
):
    options = {"decoder_std": decoder_std, "min_log_std": min_log_std}
    model = VAE(3, 2, (7, 5), seed=1, standardization=Standardization(MEAN, STD), **options)
    saved_model.write_weights(model, tmp_path)
    plain = VAE(3, 2, (7, 5), seed=2, **options)
    saved_model.read_weights(plain, tmp_path)
    z = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    (mean, log_std), (plain_mean, plain_log_std) = model.decode(z), plain.decode(z)
    np.testing.assert_allclose((plain_mean - MEAN) / STD, mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(plain_log_std, log_std + np.log(STD), rtol=1e-3, atol=1e-4)
    if decoder_std == 0.25:
        np.testing.assert_allclose(plain_log_std, np.full((6, 3), np.log(decoder_std)), atol=1e-5)
    if min_log_std:
        assert np.min(plain_log_std) >= min_log_std


@pytest.mark.slow
def test_a_constant_column_keeps_its_std_above_the_bound(train, rows, tmp_path):
    x = rows.copy()
    x[:, 1] = 4.0
    flags = ["--data_path", str(npy_file(tmp_path, x)), "--n_epoch", "8", "--lr", "0.2"]
    z = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    lowest = {}
    for bound in ([], ["--min_log_std", "-0.7"]):
        model, settings = saved_model.load_model(
            train(vae_main.main, *flags, *bound), vae_models.make_model
        )
        lowest[settings.min_log_std] = float(np.min(model.decode(z)[1]))
    assert lowest[None] < -1.2
    assert -0.7 <= lowest[-0.7] < -0.5


def test_clipping_saves_a_run_on_heavy_tails(train, tmp_path):
    x = np.random.default_rng(3).standard_cauchy(size=(50, 3))
    x = np.sign(x) * np.abs(x) ** 2.5
    flags = ["--data_path", str(npy_file(tmp_path, x)), *"--optimizer sgd --n_epoch 1".split()]
    flags += ["--no-standardize"]
    with pytest.raises(Stopped, match=r"diverged .*--clip_norm"):
        train(vae_main.main, *flags)
    assert np.isfinite(elbo(train(vae_main.main, *flags, "--clip_norm", "1"))).all()


def weights_around_a_step(name, rate, **options):
    """The weights of a small model before and after one step of this optimizer."""
    model = VAE(3, 2, (5, 6), seed=1)
    before = model.get_weights()
    optimizer = loop.make_optimizer(model, name, rate, **options)
    x, epsilon = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    vae_main.training_step(model, optimizer, x, epsilon[:, :2])
    return before, model.get_weights()


def test_the_whole_gradient_is_scaled_to_the_clip_norm():
    changes = []
    for clip_norm in (None, 0.25):
        before, after = weights_around_a_step("sgd", 1.0, clip_norm=clip_norm)
        change = [(new - old).ravel() for old, new in zip(before, after, strict=True)]
        changes.append(np.concatenate(change))
    norm = np.linalg.norm(changes[0])
    assert norm > 0.25
    np.testing.assert_allclose(changes[1], changes[0] * 0.25 / norm, rtol=1e-3, atol=1e-6)


def test_weight_decay_shrinks_matrices_by_the_rate_and_no_biases():
    before, plain = weights_around_a_step("adam", 0.01)
    _, decayed = weights_around_a_step("adam", 0.01, weight_decay=20.0)
    for start, new, smaller in zip(before, plain, decayed, strict=True):
        lost = 0.2 * start if start.ndim == 2 else 0.0
        np.testing.assert_allclose(new - smaller, lost, rtol=1e-4, atol=1e-6)


def completed(n_train, **flags):
    """The settings of a run with so many training rows, those open filled in."""
    settings = Settings(training_data_size=n_train, **flags)
    complete_sizes(settings)
    return settings


@pytest.mark.parametrize(
    ("n_train", "standardize", "mixture_path", "flag", "decay"),
    [
        (30, True, None, None, 1.0),
        (1000, True, None, None, 0.25),
        (1000, True, None, 0.5, 0.5),
        (1000, False, "mixture.dat", None, 0.25),
        (30, False, None, None, 0.5),
        (80_000, False, None, None, 0.2),
        (80_000, False, None, 0.0, 0.0),
    ],
)
def test_weight_decay_falls_with_the_rows_unless_it_is_given(
    n_train, standardize, mixture_path, flag, decay
):
    flags = {"standardize": standardize, "mixture_path": mixture_path, "weight_decay": flag}
    settings = completed(n_train, batch_size=5, n_epoch=2, **flags)
    assert settings.weight_decay == pytest.approx(decay)


@pytest.mark.parametrize(
    ("n_train", "keep", "mixture_path", "batch_size", "n_epoch"),
    [
        (9, "best", None, 1, 1067),
        (38, "best", None, 3, 738),
        (38, "last", None, 3, 246),
        (38_000, "last", None, 250, 21),
        (80_000, "last", "mixture.dat", 250, 30),
        (800_000, "last", None, 250, 10),
    ],
)
def test_few_rows_have_small_batches_and_many_epochs(
    n_train, keep, mixture_path, batch_size, n_epoch
):
    sizes = {"batch_size": None, "n_epoch": None, "weight_decay": 0.0}
    settings = completed(n_train, keep=keep, mixture_path=mixture_path, **sizes)
    assert (settings.batch_size, settings.n_epoch) == (batch_size, n_epoch)


def remarks(capsys, x, names=None):
    """What is said of the columns of a table before it is trained on."""
    names = names or [f"x{j}" for j in range(1, x.shape[1] + 1)]
    columns.warn_of_index(x, names)
    columns.warn_of_outliers(x, names)
    columns.warn_of_columns(x, names)
    return capsys.readouterr().err


def test_columns_of_few_values_are_named_with_how_many_they_have(capsys):
    x = np.random.default_rng(0).normal(size=(50, 3))
    x[:, 0], x[:, 2] = np.arange(50) % 4, 7.0
    assert "values: a (4), c (1); their" in remarks(capsys, x, ["a", "b", "c"])
    assert remarks(capsys, x[:9, :2]) == ""  # too few rows to tell
    shown = remarks(capsys, np.zeros((3, 40)))
    assert "values: x1 (1), x2 (1)," in shown and "x8 (1) and 32 more;" in shown


def test_a_value_far_from_the_others_is_named(capsys):
    x = np.random.default_rng(0).normal(size=(50, 3))
    assert remarks(capsys, x) == ""
    x[6, 1], x[8, 2] = -999.0, 12.0
    assert "far from the others: x2 (-999); an error" in remarks(capsys, x)


def test_a_column_that_counts_the_rows_is_named(capsys):
    x = np.random.default_rng(0).normal(size=(50, 3))
    x[:, 1] = np.arange(7, 57)
    assert "count the rows: x2; leave" in remarks(capsys, x)
    assert remarks(capsys, x[::-1]) == ""


def test_columns_that_are_copies_or_sums_of_others_are_named_with_these(capsys):
    a, b, c = np.random.default_rng(0).normal(size=(3, 60)) + 1e3
    names = ["a", "sum", "b", "c", "ten", "constant", "mean"]
    x = np.column_stack([a, a + 60 * b, b, c, 10 * c, np.full(60, 5.1), (a + b + c - 3) / 3])
    found = "b (of a, sum), ten (of c), mean (of a, sum, c); their density is unbounded"
    assert f"copies or sums of others: {found}" in remarks(capsys, x, names)
    assert columns.dependent_columns(x[:, :4], names) == ["b (of a, sum)"]
    assert columns.dependent_columns(x[:, :4] + 1e-3 * x[::-1, :4] ** 2, names) == []
    assert columns.dependent_columns(x[:4, :4], names) == []  # too few rows to tell
    assert columns.dependent_columns(x[:, :3] * 1e-200, names) == []  # squares that underflow
    whole = 2**60 + np.random.default_rng(1).integers(0, 900, (60, 2))
    assert columns.dependent_columns(np.column_stack([whole, whole[:, 1]]), names) == ["b (of sum)"]
    wide = np.random.default_rng(2).integers(-120, 120, (60, 2)).astype(np.int8)  # wraps around
    assert columns.dependent_columns(np.column_stack([wide, wide[:, 1]]), names) == ["b (of sum)"]


def test_sums_are_found_among_many_columns_with_bounded_work():
    x = np.random.default_rng(0).normal(size=(1200, 1100))
    x[:, 5], x[:, 1050] = x[:, 7:12].sum(axis=1), x[:, 2]  # the second is beyond MAX_COLUMNS
    (found,) = columns.dependent_columns(x, [str(j) for j in range(1100)])
    assert found.endswith("(of 5 columns)")


def test_a_bound_beside_a_fixed_std_is_refused(refused):
    message = refused(vae_main.main, "--decoder_std 0.5 --min_log_std -3".split())
    assert "--min_log_std: " in message
    assert "--decoder_std" in message


def test_columns_far_from_zero_keep_their_digits_where_they_are_not_standardized(tmp_path):
    mean, std = [0.5, 1e6, -0.3], [1.0, 0.01, 2.0]
    np.savetxt(tmp_path / "m.dat", mean)
    np.savetxt(tmp_path / "c.dat", np.diag(np.square(std)))
    flags = ["--mean_path", str(tmp_path / "m.dat"), "--covariance_path", str(tmp_path / "c.dat")]
    args = vae_main.parse_arguments([*flags, "--data_size", "5000"])
    data = data_processing.get_data(args)
    moments = data.x_train.mean(axis=0), data.x_train.std(axis=0)
    np.testing.assert_allclose(moments, ([0.5, 0.0, -0.3], std), atol=0.1, rtol=0.1)
    assert len(np.unique(data.x_train[:, 1])) > 3990  # of 4000, where float32 has 1/16 as its step
    density = data.reference().log_density(data.in_data_units(data.x_held_out))
    entropy = 0.5 * len(mean) * np.log(2 * np.pi * np.e) + np.log(std).sum()
    assert np.mean(density) == pytest.approx(-entropy, abs=0.15)
