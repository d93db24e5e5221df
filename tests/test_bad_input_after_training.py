"""Wrong input of the scripts after training, and damaged models: one line, nothing touched."""

import numpy as np
import pytest
from helpers import change_config

import beta_vae_after_training
import vae_decoder_sample_generation
from training import saved_model
from training.errors import InputError
from vae_models import VAE

SCRIPTS = [vae_decoder_sample_generation, beta_vae_after_training]


def script_name(script):
    return script.__name__


def argv_for(folder):
    return ["--model_dir", folder, "--n_samples", "5"]


@pytest.mark.parametrize("script", SCRIPTS, ids=script_name)
@pytest.mark.parametrize(
    ("flag", "value"),
    [("--n_samples", "0"), ("--seed", "-1"), ("--draw", "mode"), ("--x", "1")],
)
def test_a_wrong_flag_after_training_is_refused_by_name(refused, script, flag, value):
    assert flag in refused(script.main, [flag, value])


@pytest.mark.parametrize("script", SCRIPTS, ids=script_name)
def test_a_model_folder_without_a_model_is_refused(refused, tmp_path, script):
    (tmp_path / "empty").mkdir()
    for name in ("missing", "empty"):
        assert str(tmp_path / name) in refused(script.main, argv_for(tmp_path / name))


DAMAGES = {
    "missing": None,
    "empty": b"",
    "truncated": lambda content: content[: len(content) // 2],
    "a line less": lambda content: b"".join(content.splitlines(True)[:-1]),
    "a line more": lambda content: content + content.splitlines(True)[0],
    "too large": lambda content: content.replace(content.split()[1], b"1e39"),
    "a word": lambda content: content.replace(content.split()[1], b"word"),
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_weight_file_is_refused_by_name(refused, run_copy, damage):
    path = run_copy() / "Encoder_W1.dat"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage if isinstance(damage, bytes) else damage(path.read_bytes()))
    assert str(path) in refused(vae_decoder_sample_generation.main, argv_for(path.parent))


def test_a_weight_file_cut_at_any_byte_is_refused(tmp_path):
    path = tmp_path / "Decoder_b6.dat"
    content = b"0.123456789\n-2.5e-07\n1.75\n"
    path.write_bytes(content)
    np.testing.assert_array_equal(
        saved_model.load_weight(path, (3,)), [0.123456789, -2.5e-07, 1.75]
    )
    for length in range(len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"Decoder_b6\.dat"):
            saved_model.load_weight(path, (3,))


@pytest.mark.parametrize("content", ["", '{"data_dim": 3', "[1]"])
def test_a_config_that_is_no_json_object_is_refused(refused, run_copy, content):
    folder = run_copy()
    (folder / "config.json").write_text(content)
    line = refused(vae_decoder_sample_generation.main, argv_for(folder))
    assert str(folder / "config.json") in line


@pytest.mark.parametrize(
    "change",
    [
        *({name: value} for name in ("data_dim", "n_dim") for value in (..., "3", 0)),
        *({"n_width": value} for value in (..., 5, [], [6], [True], [10**9])),
        {"decoder_std": "wide"},
        {"decoder_std": -0.5},
        {"min_log_std": "low"},
        {"activation": "stepwise"},
        {"standardization": {"mean": [0.0] * 3}},
        {"standardization": {"mean": [0.0] * 3, "std": [1.0] * 2}},
        {"model": "mnist_vae"},
        {"model": ...},
        {"min_log_std": ...},
        {"seed": "x"},
    ],
    ids=repr,
)
def test_a_config_of_no_model_is_refused(refused, run_copy, change):
    folder = run_copy()
    change_config(folder, **change)
    line = refused(vae_decoder_sample_generation.main, argv_for(folder))
    assert any(word in line for word in ("config.json", "Encoder_W1.dat"))


@pytest.mark.parametrize("script", SCRIPTS, ids=script_name)
@pytest.mark.parametrize(
    "change",
    [
        {"data_size": "50"},
        {"data_size": -1},
        {"data_size": 2.5},
        {"data_path": 5},
        {"data_path": "moved.dat"},
        {"covariance_path": 5, "data_path": None},
        {"mean_path": "moved.dat"},
    ],
    ids=repr,
)
def test_a_config_of_no_data_is_refused(refused, run_copy, script, change):
    folder = run_copy()
    change_config(folder, **change)
    line = refused(script.main, argv_for(folder))
    assert any(word in line for word in ("config.json", "moved.dat"))


@pytest.mark.parametrize("change", [{"seed": -1}, {"data_size": None}, {"data_size": 2.5}])
def test_a_config_from_which_no_data_can_be_drawn_is_refused(refused, run_copy, change):
    folder = run_copy()
    drawn = {"data_dim": 10, "data_path": None, "standardization": None, "data_size": 20}
    change_config(folder, **(drawn | change))
    saved_model.write_weights(VAE(10, 2, [5]), folder)
    assert "config.json" in refused(vae_decoder_sample_generation.main, argv_for(folder))


@pytest.mark.parametrize("output", ["x.csv", "x", "missing/x.dat", "file/x.dat", "folder.dat"])
def test_an_output_file_that_cannot_be_written_is_refused(refused, run_copy, tmp_path, output):
    folder = run_copy()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.dat").mkdir()
    argv = [*argv_for(folder), "--output", tmp_path / output]
    assert output in refused(vae_decoder_sample_generation.main, argv)


@pytest.mark.parametrize("output", ["missing", "file", "file/deep"])
def test_an_output_folder_that_cannot_be_written_is_refused(refused, run_copy, tmp_path, output):
    folder = run_copy()
    (tmp_path / "file").write_text("mine")
    argv = [*argv_for(folder), "--output_dir", tmp_path / output]
    assert output in refused(beta_vae_after_training.main, argv)


@pytest.mark.parametrize(
    ("text", "said"), [("1 2 3\n4 x 6\n", "line 2"), ("1 2\n", "2 columns"), ("", "no row")]
)
def test_a_data_file_that_the_model_cannot_encode_is_refused(
    refused, run_copy, tmp_path, text, said
):
    folder = run_copy()
    (tmp_path / "x.dat").write_text(text)
    argv = [*argv_for(folder), "--data_path", tmp_path / "x.dat"]
    line = refused(beta_vae_after_training.main, argv)
    assert said in line
    assert "x.dat" in line


def test_data_of_the_training_that_have_changed_their_width_are_refused(
    refused, run_copy, tmp_path
):
    folder = run_copy()
    (tmp_path / "x.dat").write_text("1 2\n")
    change_config(folder, data_path=str(tmp_path / "x.dat"))
    assert "x.dat" in refused(vae_decoder_sample_generation.main, argv_for(folder))
