"""The verdict on made-up runs, each of one kind."""

import numpy as np
import pytest

from analysis import verdict as of_run
from training.settings import Settings


def verdict(followed, elbo=None, kl=0.5, column="elbo_held_out", settings=(), **report):
    """The verdict on a run with these curves; everything not given is that of a sound run."""
    elbo = followed if elbo is None else elbo
    history = [
        {"epoch": k + 1, "kl": kl, "log_px_z": e + kl, "elbo": e, column: f}
        for k, (f, e) in enumerate(zip(followed, elbo, strict=True))
    ]
    sound = {
        "beta": 1.0,
        "active_units": 2,
        "active_units_exact": 2,
        "cost_gap": 0.0,
        "cost_gap_se": 0.001,
        "gap": 0.0,
        "gap_se": 0.001,
        "total_correlation": 1.3,
        "optimum_is": "exact",
        "gain_over_linear": None,
        "elbo_train": -4.0,
        "elbo_train_se": 0.02,
        "elbo_held_out": -4.0,
        "rows_train": 400,
        "rows_held_out": 100,
    }
    flags = {
        "n_dim": 2,
        "n_epoch": len(history),
        "keep": "last",
        "decoder_std": "learned",
        "standardize": True,
        "data_dim": 3,
        "training_data_size": 400,
        "activation": "relu",
        "weight_decay": 0.0,
        "model": "vae",
    }
    return of_run.verdict(sound | report, history, Settings(**(flags | dict(settings))))


FLAT = -4.0 - 3.0 * np.exp(-np.arange(40.0))


def test_a_sound_run_has_converged_and_needs_no_change():
    first, last = verdict(FLAT)
    assert first.startswith("Converged: in the last 8 of 40 epochs")
    assert last == "Nothing needs to be changed first."


def test_a_run_that_still_rises_is_told_by_how_much_and_to_train_longer():
    first, last = verdict(np.linspace(-9.0, -4.0, 51))
    assert first.startswith("Not converged")
    assert "0.1000 nats per epoch" in first
    assert last == "Change first: --n_epoch 102."


def test_noise_is_no_rise():
    noise = np.random.default_rng(0).normal(size=40) * 0.3
    assert verdict(FLAT + noise)[0].startswith("Converged")


def test_an_epoch_that_was_lucky_near_the_end_is_no_memory():
    followed = FLAT + np.random.default_rng(1).normal(size=40) * 0.1
    followed[38] = followed[20:].max() + 0.05
    assert "Memorizing" not in " ".join(verdict(followed, elbo=FLAT + 0.001 * np.arange(40)))


def test_two_epochs_tell_nothing_about_convergence():
    assert "too few to tell" in verdict(FLAT[:2])[0]


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_run_that_memorizes_is_told_its_best_epoch_and_what_the_rest_lost(keep):
    followed = np.concatenate([FLAT[:10], FLAT[9] - 0.1 * np.arange(1, 21)])
    elbo = -4.0 + 0.1 * np.arange(30)
    column = {"last": "elbo_held_out", "best": "elbo_validation"}[keep]
    found = verdict(followed, elbo, column=column, settings={"keep": keep})
    assert "best after epoch 10 of 30, with an ELBO of -4.00" in found[0]
    assert "lost 2.00 nats" in found[0]
    assert ("were kept" in found[0]) == (keep == "best")
    if keep == "last":
        assert found[-1] == "Change first: --keep best, or --n_epoch 10."


def test_an_elbo_that_falls_with_that_of_the_training_rows_is_no_memory():
    falling = np.linspace(-4.0, -6.0, 30)  # beta 4 trades the ELBO for a smaller KL
    assert not any("Memorizing" in sentence for sentence in verdict(falling, beta=4.0))


def test_a_fall_of_the_objective_is_called_unstable():
    elbo = FLAT.copy()
    elbo[20] -= 7.5
    first, *_, last = verdict(FLAT, elbo)
    assert first == "Unstable: in epoch 21 the training rows lost 7.50 nats."
    assert "--lr" in last


def test_collapse_is_judged_by_the_best_linear_vae():
    assert "Collapse is right" in verdict(FLAT, active_units=0, active_units_exact=0)[1]
    found = verdict(FLAT, active_units=0, cost_gap=0.7)
    assert found[1].startswith("Collapsed: 2 of 2 units carry no information about x; the best")
    assert found[1].endswith("has 2 active and costs 0.7000 nats less.")
    assert found[-1] == "Change first: --activation linear, or another --seed."
    assert "next to nothing" in verdict(FLAT, active_units=1, cost_gap=0.004)[1]
    unsure = verdict(FLAT, active_units=1, cost_gap=0.5, cost_gap_se=0.3)
    assert "may cost less, by 0.50 ± 0.30 nats" in unsure[1]
    assert "Collapsed" in verdict(FLAT, active_units=0, active_units_exact=None)[1]


def test_the_way_out_of_a_collapse_has_the_flags_of_the_script_and_of_the_run():
    settings = {"model": "beta_vae", "weight_decay": 0.5}
    collapsed = {"active_units": 0, "cost_gap": 0.7, "settings": settings}
    change = verdict(FLAT, **collapsed)[-1]
    assert "first: --activation linear, --weight_decay 0, or another --seed" in change
    change = verdict(FLAT, active_units_exact=None, **collapsed | {"cost_gap": None})[-1]
    assert "--n_epoch 80, a smaller --beta, --weight_decay 0, or another --seed" in change
    linear = verdict(FLAT, active_units=0, cost_gap=0.7, settings={"activation": "linear"})
    assert "first: --n_epoch 80, or another --seed" in linear[-1]


def test_a_run_far_from_the_best_linear_vae_of_a_known_gaussian_is_not_called_sound():
    found = verdict(FLAT, cost_gap=1.07)
    assert found[1] == "The cost is 1.0700 nats above that of the best linear VAE."
    assert found[-1] == "Change first: --activation linear, --n_epoch 80, or --lr."
    linear = verdict(FLAT, cost_gap=1.07, settings={"activation": "linear"})
    assert linear[-1] == "Change first: --n_epoch 80, or --lr."
    for sound in ({"cost_gap": 0.09}, {"cost_gap_se": 0.4}, {"optimum_is": "estimate"}):
        assert len(verdict(FLAT, **{"cost_gap": 1.07, **sound})) == 2


def test_a_run_far_from_the_log_density_of_a_known_mixture_is_not_called_sound():
    far = {"cost_gap": None, "gap": 0.68}
    found = verdict(FLAT, **far)
    assert found[1] == "The held-out ELBO is 0.6800 nats below the exact optimum."
    assert found[-1] == "Change first: --n_epoch 120, or a larger --n_width."
    sound = ({"gap": 0.09}, {"gap_se": 0.3}, {"optimum_is": "estimate"}, {"beta": 2.0})
    for changed in (*sound, {"cost_gap": 0.0}):
        assert len(verdict(FLAT, **far | changed)) == 2


@pytest.mark.parametrize(
    ("flag", "value", "change"),
    [
        ("activation", "linear", "--activation relu"),
        ("decoder_std", 0.5, "--decoder_std learned"),
        ("decoder_std", "shared", "--decoder_std learned"),
    ],
)
def test_a_model_that_cannot_follow_a_known_mixture_is_not_told_to_train_longer(
    flag, value, change
):
    found = verdict(FLAT, cost_gap=None, gap=5.6, settings={flag: value})
    assert found[-1] == f"Change first: {change}."


def test_a_steep_rise_is_no_noise_however_few_the_epochs():
    found = verdict(np.array([-90.0, -20.0, -19.0, -8.0, -7.0, -6.0]))
    assert "Not converged: in the last 3 of 6 epochs" in found[0]
    assert "Not converged" in verdict(np.array([-9.0, -7.0, -7.5, -6.0]))[0]


def test_independent_columns_leave_nothing_to_find():
    independent = {"active_units": 0, "total_correlation": 0.0}
    assert "Nothing to find" in verdict(FLAT, **independent)[1]
    # Of 400 rows of 3 independent columns 2 N TC is chi-squared with 3 degrees of freedom.
    for total, said in [(0.018, True), (0.024, False)]:
        estimate = {"active_units": 0, "total_correlation": total, "optimum_is": "estimate"}
        sentence = verdict(FLAT, cost_gap=0.5, **estimate)[1]
        assert ("400 training rows show no dependence" in sentence) == said


def test_the_verdict_says_where_the_linear_model_wins():
    loses = {"gain_over_linear": -0.5, "gain_over_linear_se": 0.1, "linear_log_px": -3.5}
    found = verdict(FLAT, **loses)
    assert "0.5000 nats below" in found[1]
    assert "better model of these rows" in found[1]
    assert "--activation linear" in found[-1]
    assert "--standardize" in verdict(FLAT, settings={"standardize": False}, **loses)[-1]
    wins = loses | {"gain_over_linear": 0.5}
    assert "0.5000 nats above" in verdict(FLAT, **wins)[1]


def test_a_held_out_elbo_is_called_low_by_the_spread_of_the_training_rows():
    error = 0.02 * np.sqrt(1 + 400 / 100)
    for errors, said in [(2.9, False), (3.1, True)]:
        found = verdict(FLAT, elbo_held_out=-4.0 - errors * error, elbo_held_out_se=99.0)
        assert any("lower on held-out" in sentence for sentence in found) == said


def test_few_held_out_rows_are_named():
    assert "with 18 held out" in verdict(FLAT, rows_held_out=18)[1]
