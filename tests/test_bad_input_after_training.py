"""Wrong input of the scripts after training, and damaged models: one line, nothing touched."""

import shutil

import numpy as np
import pytest
from helpers import change_config

import beta_vae_after_training
import vae_decoder_sample_generation
from training import saved_model
from training.errors import InputError

SCRIPTS = [vae_decoder_sample_generation, beta_vae_after_training]
of_both = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)


def argv_for(folder):
    return ["--model_dir", folder, "--n_samples", "5"]


@of_both
@pytest.mark.parametrize(
    ("flag", "value"),
    [("--n_samples", "0"), ("--seed", "-1"), ("--draw", "mode"), ("--x", "1")],
)
def test_a_wrong_flag_after_training_is_refused_by_name(refused, script, flag, value):
    assert flag in refused(script.main, [flag, value])


@of_both
def test_a_model_folder_without_a_model_is_refused(refused, tmp_path, script):
    (tmp_path / "empty").mkdir()
    for name in ("missing", "empty"):
        assert str(tmp_path / name) in refused(script.main, argv_for(tmp_path / name))


def test_a_missing_or_damaged_weight_file_is_refused_by_name(refused, run_copy):
    path = run_copy() / "Encoder_W1.dat"
    sound = path.read_bytes()
    path.unlink()
    assert str(path) in refused(vae_decoder_sample_generation.main, argv_for(path.parent))
    second = sound.split()[1]
    for damaged in (sound + sound, sound.replace(second, b"1e39"), sound.replace(second, b"word")):
        path.write_bytes(damaged)
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


@of_both
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_width": [6]}, "Encoder_W1.dat"),
        ({"model": "mnist_vae"}, "config.json: its model is mnist_vae, not vae or beta_vae"),
        ({"data_path": "moved.dat"}, "moved.dat"),
        ({"mean_path": "moved.dat"}, "moved.dat"),
    ],
    ids=repr,
)
def test_a_config_of_no_model_or_no_data_is_refused(refused, run_copy, script, change, said):
    folder = run_copy()
    change_config(folder, **change)
    assert said in refused(script.main, argv_for(folder))


def test_checkpoints_that_are_missing_or_damaged_are_named(refused, ends, vae_run, run_copy):
    folder = run_copy()
    argv = [*argv_for(folder), "--checkpoint"]
    assert "checkpoint" in refused(vae_decoder_sample_generation.main, argv)
    shutil.copytree(vae_run / "checkpoint", folder / "checkpoint")
    for path in (folder / "checkpoint").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    status, lines = ends(beta_vae_after_training.main, argv)
    assert status == 2
    assert "no checkpoint in it can be read" in lines[-1]


@pytest.mark.parametrize("output", ["x.csv", "x", "missing/x.dat", "file/x.dat", "folder.dat"])
def test_an_output_file_that_cannot_be_written_is_refused(refused, run_copy, tmp_path, output):
    folder = run_copy()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.dat").mkdir()
    argv = [*argv_for(folder), "--output", tmp_path / output]
    assert output in refused(vae_decoder_sample_generation.main, argv)


@pytest.mark.parametrize("output", ["file", "file/deep"])
def test_an_output_folder_that_cannot_be_written_is_refused(refused, run_copy, tmp_path, output):
    folder = run_copy()
    (tmp_path / "file").write_text("mine")
    argv = [*argv_for(folder), "--output_dir", tmp_path / output]
    assert output in refused(beta_vae_after_training.main, argv)


@pytest.mark.parametrize(("text", "said"), [("1 2 3\n4 x 6\n", "line 2"), ("1 2\n", "2 columns")])
def test_a_data_file_that_the_model_cannot_encode_is_refused(
    refused, run_copy, tmp_path, text, said
):
    folder = run_copy()
    (tmp_path / "x.dat").write_text(text)
    argv = [*argv_for(folder), "--data_path", tmp_path / "x.dat"]
    line = refused(beta_vae_after_training.main, argv)
    assert said in line
    assert "x.dat" in line


def test_columns_in_another_order_than_the_model_knows_are_refused(refused, run_copy, tmp_path):
    folder = run_copy()
    (tmp_path / "trained.csv").write_text("a,b,c\n1,2,3\n")
    (tmp_path / "other.csv").write_text("b,a,c\n1,2,3\n")
    change_config(folder, data_path=str(tmp_path / "trained.csv"))
    argv = [*argv_for(folder), "--data_path", tmp_path / "other.csv"]
    assert "in the order of" in refused(beta_vae_after_training.main, argv)
