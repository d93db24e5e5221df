"""Wrong input of the scripts after training, and damaged models: one line, nothing touched."""

import json

import numpy as np
import pytest

import beta_vae_after_training
import vae_decoder_sample_generation
from training.run_folder import InputError
from training.saved_model import load_weight
from vae_models import VAE

AFTER_TRAINING = [vae_decoder_sample_generation, beta_vae_after_training]


def script_name(script):
    return script.__name__


@pytest.mark.parametrize("script", AFTER_TRAINING, ids=script_name)
@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--n_samples", "0"),
        ("--n_samples", "1e3"),
        ("--seed", "-1"),
        ("--draw", "mode"),
        ("--x", "1"),
    ],
)
def test_a_wrong_flag_after_training_is_refused_by_name(refused, script, flag, value):
    assert flag in refused(script.main, [flag, value])


def after_training_argv(folder):
    return ["--model_dir", folder, "--n_samples", "5"]


@pytest.mark.parametrize("script", AFTER_TRAINING, ids=script_name)
def test_a_model_folder_without_a_model_is_refused(refused, tmp_path, script):
    (tmp_path / "empty").mkdir()
    for name in ("missing", "empty"):
        assert str(tmp_path / name) in refused(script.main, after_training_argv(tmp_path / name))


@pytest.mark.parametrize(
    ("script", "name"), zip(AFTER_TRAINING, ["Decoder_b6.dat", "Encoder_W1.dat"], strict=True)
)
@pytest.mark.parametrize(
    "damage",
    {
        "missing": None,
        "empty": b"",
        "truncated": lambda content: content[: len(content) // 2],
        "a line less": lambda content: b"".join(content.splitlines(True)[:-1]),
        "a line more": lambda content: content + content.splitlines(True)[0],
        "nan": lambda content: content.replace(content.split()[1], b"nan"),
        "infinite": lambda content: content.replace(content.split()[1], b"-inf"),
        "too large": lambda content: content.replace(content.split()[1], b"1e39"),
        "a word": lambda content: content.replace(content.split()[1], b"word"),
        "binary": bytes(range(256)),
    }.items(),
    ids=lambda damage: damage[0],
)
def test_a_damaged_weight_file_is_refused_by_name(refused, run_copy, script, name, damage):
    folder = run_copy(script)
    path, change = folder / name, damage[1]
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change if isinstance(change, bytes) else change(path.read_bytes()))
    assert str(path) in refused(script.main, after_training_argv(folder))


def test_a_weight_file_cut_at_any_byte_is_refused(tmp_path):
    path = tmp_path / "Decoder_b6.dat"
    content = b"0.123456789\n-2.5e-07\n1.75\n"
    path.write_bytes(content)
    np.testing.assert_array_equal(
        load_weight(path, (3,)), np.float32([0.123456789, -2.5e-07, 1.75])
    )
    for length in range(len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"Decoder_b6\.dat"):
            load_weight(path, (3,))


@pytest.mark.parametrize("script", AFTER_TRAINING, ids=script_name)
@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "null", '{"data_dim": 3', "\x00\x01"], ids=lambda c: repr(c)
)
def test_a_config_that_is_no_json_object_is_refused(refused, run_copy, script, content):
    folder = run_copy(script)
    (folder / "config.json").write_text(content)
    line = refused(script.main, after_training_argv(folder))
    assert str(folder / "config.json") in line


@pytest.mark.parametrize("script", AFTER_TRAINING, ids=script_name)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            (name, value)
            for name in ("data_dim", "n_dim", "n_width")
            for value in (None, "3", 0, 2.5)
        ],
        ("n_width", 6),
        ("n_width", True),
        ("n_width", 10**9),
        ("n_dim", [2]),
        ("decoder_std", "wide"),
        ("decoder_std", [0.1]),
        ("decoder_std", -0.5),
        ("min_log_std", "low"),
        ("min_log_std", -50.0),
        ("data_size", None),
        ("data_size", "50"),
        ("data_size", -1),
        ("data_size", 2.5),
        ("data_path", 5),
        ("data_path", ["x.dat"]),
        ("data_path", "moved.dat"),
    ],
)
def test_a_config_with_a_wrong_value_is_refused(refused, run_copy, script, name, value):
    folder = run_copy(script)
    config = json.loads((folder / "config.json").read_text())
    config[name] = value
    if value is None:
        del config[name]
    (folder / "config.json").write_text(json.dumps(config))
    line = refused(script.main, after_training_argv(folder))
    assert any(word in line for word in ("config.json", "moved.dat", "Encoder_W1.dat"))


@pytest.mark.parametrize("script", AFTER_TRAINING, ids=script_name)
@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", None), ("seed", "x"), ("seed", -1), ("data_size", None), ("data_size", 2.5)],
)
def test_a_config_from_which_no_data_can_be_drawn_is_refused(
    refused, tmp_path, script, name, value
):
    config = {"data_dim": 10, "n_dim": 2, "n_width": 5, "decoder_std": None}
    config |= {"data_path": None, "data_size": 20, "seed": 0, name: value}
    (tmp_path / "config.json").write_text(json.dumps(config))
    VAE(10, 2, (5, 5)).write_weights(tmp_path)
    assert "config.json" in refused(script.main, after_training_argv(tmp_path))


@pytest.mark.parametrize("output", ["x.csv", "x", "missing/x.dat", "file/x.dat", "folder.dat"])
def test_an_output_file_that_cannot_be_written_is_refused(refused, run_copy, tmp_path, output):
    folder = run_copy(vae_decoder_sample_generation)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.dat").mkdir()
    argv = [*after_training_argv(folder), "--output", tmp_path / output]
    assert output in refused(vae_decoder_sample_generation.main, argv)


@pytest.mark.parametrize("output", ["missing", "file", "file/deep"])
def test_an_output_folder_that_cannot_be_written_is_refused(refused, run_copy, tmp_path, output):
    folder = run_copy(beta_vae_after_training)
    (tmp_path / "file").write_text("mine")
    argv = [*after_training_argv(folder), "--output_dir", tmp_path / output]
    assert output in refused(beta_vae_after_training.main, argv)


@pytest.mark.parametrize(
    ("text", "said"),
    [("1 2 3\n4 x 6\n", "line 2: could not"), ("1 2\n", "2 columns"), ("", "no row")],
)
def test_a_data_file_that_the_model_cannot_encode_is_refused(
    refused, run_copy, tmp_path, text, said
):
    folder = run_copy(beta_vae_after_training)
    (tmp_path / "x.dat").write_text(text)
    argv = [*after_training_argv(folder), "--data_path", tmp_path / "x.dat"]
    assert said in refused(beta_vae_after_training.main, argv)


def test_data_of_the_training_that_have_changed_their_width_are_refused(
    refused, run_copy, tmp_path
):
    folder = run_copy(vae_decoder_sample_generation)
    (tmp_path / "x.dat").write_text("1 2\n")
    config = json.loads((folder / "config.json").read_text())
    config["data_path"] = str(tmp_path / "x.dat")
    (folder / "config.json").write_text(json.dumps(config))
    assert "x.dat" in refused(vae_decoder_sample_generation.main, after_training_argv(folder))
