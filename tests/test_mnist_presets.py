"""The preset files of mnist_vae_main.py and its learning rates."""

import pytest
from helpers import ROOT

import mnist_vae_main


def preset(name):
    return mnist_vae_main.parse_arguments([f"@{ROOT / 'presets' / name}.args"])


def rates_by_epoch(args, epochs):
    """The learning rate of each of these epochs, from 0, of seven steps each."""
    rate = mnist_vae_main.learning_rate(args, 7)
    first, last = ([float(rate(7 * epoch + k)) for epoch in epochs] for k in (0, 6))
    assert first == last
    return first


def test_the_homework_preset_takes_the_rate_times_075_every_200_epochs():
    args = preset("mnist_homework")
    assert (args.n_dim, args.n_width, args.n_samples) == (40, [500], 10)
    assert (args.batch_size, args.batch_norm, args.binarization) == (100, True, "dynamic")
    assert args.adam_epsilon == 1e-4
    epochs = [0, 199, 200, 399, 400, 999]
    expected = [0.001 * 0.75 ** (epoch // 200) for epoch in epochs]
    assert rates_by_epoch(args, epochs) == pytest.approx(expected)


def test_the_burda_preset_has_the_schedule_of_the_paper():
    args = preset("mnist_burda2015")
    assert (args.n_dim, args.n_width, args.activation) == (50, [200], "tanh")
    assert (args.batch_size, args.adam_epsilon, args.n_samples) == (20, 5e-6, 1)
    expected = [0.001 * 10 ** (-i / 7) for i in range(8) for _ in range(3**i)]
    assert len(expected) == args.n_epoch == 3280
    epochs = [0, 1, 3, 4, 12, 13, 39, 40, 120, 121, 363, 364, 1092, 1093, 3279]
    assert rates_by_epoch(args, epochs) == pytest.approx([expected[epoch] for epoch in epochs])


def test_the_other_presets_say_what_their_names_say():
    assert preset("mnist_2d").n_dim == 2
    args = preset("mnist_report")
    assert args.n_epoch == 30
    assert mnist_vae_main.learning_rate(args, 7) == 0.0001


def test_presets_hold_the_documents_own_settings_whatever_the_defaults_are():
    presets = [preset(path.stem) for path in (ROOT / "presets").glob("mnist_*.args")]
    assert len({args.output_dir for args in presets}) == len(presets) == 4
    for args in presets:
        assert (args.objective, args.output_bias, args.warm_up, args.beta) == ("elbo", "mean", 0, 1)


def test_beta_rises_linearly_over_the_steps_of_the_warm_up():
    beta = [float(mnist_vae_main.warmed_up(2.0, k, 20)) for k in (0, 5, 20, 33)]
    assert beta == [0.0, 0.5, 2.0, 2.0]
    assert mnist_vae_main.warmed_up(2.0, 5, 0) == 2.0
