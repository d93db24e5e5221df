"""Settings through config.json and back, and what is refused there."""

import numpy as np
import pytest
from helpers import change_config

import data_processing
import mnist_vae_main
import vae_main
from training import run_folder, settings
from training.errors import InputError

GAUSSIAN = ["vae", "beta_vae"]


def test_settings_come_back_from_config_json_as_they_were_made(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, 3)) + 5.0)
    args = vae_main.parse_arguments(["--data_path", str(tmp_path / "x.npy"), "--n_epoch", "3"])
    made = settings.make_settings(args, data_processing.get_data(args))
    values = settings.as_dictionary(made)
    run_folder.write_json(tmp_path / "config.json", {**values, "versions": {"tensorflow": "2"}})
    read = settings.read_config(tmp_path, GAUSSIAN)
    assert settings.as_dictionary(read) == values
    assert (read.output_dir, read.resume) == (str(tmp_path), False)
    assert (read.beta, read.keep, read.data_dim, read.training_data_size) == (1.0, "best", 3, 16)


def test_every_flag_of_a_main_is_a_checked_field():
    for main, checks in [
        (vae_main, settings.GAUSSIAN_RUN),
        (mnist_vae_main, settings.IMAGE_RUN),
    ]:
        flags = vars(main.parse_arguments([])).keys() - set(settings.OWN_TO_A_PROCESS)
        assert flags <= checks.keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_dim", ...),
        ("n_dim", 2.0),
        ("n_dim", True),
        ("n_dim", 2**30),
        ("n_width", []),
        ("n_width", [5, 0]),
        ("activation", "step"),
        ("decoder_std", "fixed"),
        ("decoder_std", -0.1),
        ("seed", "0"),
        ("standardize", 1),
        ("standardization", {"mean": [0.0, 1.0, 2.0]}),
        ("standardization", {"mean": [0.0, 1.0], "std": [1.0, 1.0]}),
        ("standardization", {"mean": [0.0, 1.0, 2.0], "std": [1.0, 0.0, 1.0]}),
        ("beta", None),
        ("data_path", 3),
    ],
)
def test_a_field_that_no_run_can_have_written_is_refused_by_name(run_copy, name, value):
    folder = run_copy()
    change_config(folder, **{name: value})
    with pytest.raises(InputError, match=rf"config\.json: damaged \({name}"):
        settings.read_config(folder, GAUSSIAN)
