"""Wrong input of the mains: one line on stderr, exit status 2, no file made or changed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import random_covariance
from helpers import ROOT, SMALL, change_config, contents, read_json, text_file

import beta_sweep
import beta_vae_main
import vae_main
from training import run_folder

# The flags of the two mains are the same lines of code: see test_house.py.
SCRIPTS = {"vae_main": vae_main.main, "beta_sweep": beta_sweep.main}


@pytest.mark.parametrize(
    ("text", "said"), [("1 2 3\n4 five 6\n", "x.dat, line 2"), ("1 2 3\n", "1 row")]
)
def test_a_data_file_that_is_no_table_is_refused_with_its_place(refused, tmp_path, text, said):
    argv = ["--data_path", text_file(tmp_path, text), "--data_dim", "3"]
    assert said in refused(vae_main.main, [*argv, "--output_dir", tmp_path / "out"])


@pytest.mark.parametrize("main", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--training_data_size", "49"], "--training_data_size 49: must be between 2 and 46"),
        (["--data_size", "20", "--training_data_size", "30"], "between 2 and 16"),
        (["--batch_size", "41"], "--batch_size 41: must be at most the 40 training rows"),
    ],
)
def test_sizes_that_the_data_cannot_give_are_refused(
    refused, tmp_path, data_file, main, flags, said
):
    base = ["--data_path", data_file, "--output_dir", tmp_path / "out"]
    assert said in refused(main, [*base, *flags])


def test_another_data_dim_than_that_of_the_known_gaussian_is_refused(refused):
    line = refused(vae_main.main, ["--data_dim", "3", "--data_size", "20"])
    assert "--data_dim 3" in line
    assert "covariance.dat has 10 dimensions" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 0.5\n0.2 1\n", "symmetric"),
        ("1 nan\nnan 1\n", "'nan'"),
        ("2 1\n1 2\n", "--data_dim 3"),
    ],
)
def test_a_matrix_that_is_no_covariance_is_refused(refused, tmp_path, text, said):
    argv = ["--covariance_path", text_file(tmp_path, text, "c.dat"), "--data_dim", "3"]
    line = refused(vae_main.main, argv)
    assert said in line
    assert "c.dat" in line


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--mean_path", "m.dat"], "m.dat: has 2 numbers, but the covariance has 10"),
        (["--mean_path", "no.dat"], "no.dat"),
        (["--covariance_path", "no.dat"], "no.dat"),
        (["--covariance_path", "c2.dat", "--data_path", "x.dat"], "has 3 columns"),
    ],
)
def test_a_gaussian_of_another_size_than_the_data_or_missing_is_refused(
    refused, tmp_path, flags, said
):
    text_file(tmp_path, "1\n2\n", "m.dat")
    np.savetxt(tmp_path / "c2.dat", random_covariance(0, 2))
    text_file(tmp_path, 5 * "1 2 3\n")
    assert said in refused(vae_main.main, flags)


SIZES = "--data_size --training_data_size --data_dim --n_width --n_epoch --batch_size"
WRONG = [("--n_dim", value) for value in ("0", "-3", "2.5", "many", "")]
WRONG += [(flag, "0") for flag in SIZES.split()]
WRONG += [("--lr", value) for value in ("0", "-0.1", "nan", "inf", "1e999", "small")]
WRONG += [("--decoder_std", value) for value in ("-0.1", "inf", "1e-170", "small")]
WRONG += [("--clip_norm", "0"), ("--min_log_std", "-41"), ("--min_log_std", "nan")]
WRONG += [("--seed", value) for value in ("-1", "1.5", "2147483648")]
WRONG += [("--lr_schedule", "linear"), ("--optimizer", "lbfgs"), ("--activation", "step")]
WRONG += [("--lrr", "1"), ("--n_epo", "3"), ("--resume", "yes"), ("--n_dim", None)]
WRONG += [("--n_width", None), ("--n_layers", "2"), ("--training_data_size", "1")]


@pytest.mark.parametrize(("flag", "value"), WRONG)
def test_a_wrong_flag_is_refused_by_name(refused, flag, value):
    line = refused(vae_main.main, [flag] if value is None else [f"{flag}={value}"])
    assert "error: " in line
    assert flag in line


def test_one_wrong_width_of_several_is_refused(refused):
    assert "--n_width" in refused(vae_main.main, ["--n_width", "5", "0"])


@pytest.mark.parametrize("beta", [["-0.5"], ["nan"], ["inf"], ["1", "-2"], ["2", "2.0"], []])
def test_a_wrong_beta_is_refused(refused, beta):
    assert "--beta" in refused(beta_sweep.main, ["--beta", *beta])
    if len(beta) < 2:
        assert "--beta" in refused(beta_vae_main.main, ["--beta", *beta])


def test_a_wrong_flag_of_a_sweep_is_refused_by_name(refused):
    assert "--n_dim" in refused(beta_sweep.main, ["--beta", "1", "2", "--n_dim", "0"])
    assert "--lrr" in refused(beta_sweep.main, ["--lrr", "1"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "my.args"),
        (b'--output_dir "open', "flag file"),
        (b"\xff\xfe\x00--lr", "flag file"),
        (b"--lrr 1", "--lrr"),
    ],
)
def test_a_file_of_flags_that_cannot_be_read_is_refused(refused, tmp_path, content, said):
    if content is not None:
        (tmp_path / "my.args").write_bytes(content)
    line = refused(vae_main.main, [f"@{tmp_path / 'my.args'}"])
    assert said in line
    assert "Errno" not in line


NO_PROC = pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")


@pytest.mark.parametrize("main", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("place", ["file", "file/deep/out", pytest.param("/proc", marks=NO_PROC)])
def test_an_output_folder_that_cannot_be_made_is_refused(refused, tmp_path, data_file, main, place):
    (tmp_path / "file").write_text("mine")
    argv = ["--data_path", data_file, *SMALL, "--output_dir", tmp_path / place]
    assert f"--output_dir {tmp_path / place}" in refused(main, argv)


@pytest.mark.parametrize("main", SCRIPTS.values(), ids=SCRIPTS)
def test_a_folder_that_holds_results_is_left_as_it_is(refused, run_copy, data_file, main):
    line = refused(main, ["--data_path", data_file, *SMALL, "--output_dir", run_copy()])
    assert "already holds results" in line


def test_resuming_the_run_of_another_script_is_refused(refused, run_copy, data_file):
    argv = [*SMALL, "--data_path", data_file, "--output_dir", run_copy(), "--resume"]
    assert "model vae, now beta_vae" in refused(beta_vae_main.main, argv)


def test_resuming_from_a_damaged_config_is_refused(refused, run_copy, data_file):
    folder = run_copy()
    change_config(folder, n_epoch="3")
    argv = [*SMALL, "--data_path", data_file, "--output_dir", folder, "--resume"]
    assert "n_epoch" in refused(vae_main.main, argv)


def test_a_run_without_a_checkpoint_continues_only_where_it_left_no_weights(tmp_path):
    values = {"n_epoch": 3}
    run_folder.check_continues(tmp_path, values, values)  # it was killed before the first step
    (tmp_path / "Encoder_W1.dat").write_text("1.0")
    with pytest.raises(run_folder.InputError, match="no checkpoint to continue from"):
        run_folder.check_continues(tmp_path, values, values)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "step.npz").write_text("")
    run_folder.check_continues(tmp_path, values, values)


def test_json_that_is_damaged_or_no_object_is_refused_by_name(tmp_path):
    path = tmp_path / "config.json"
    for damaged in ('{"a": 0.', "[1]", "null", "", "\ufeff{}", "\0\1", "[" * 100_000):
        path.write_text(damaged, encoding="utf-8")
        with pytest.raises(run_folder.InputError, match=r"config\.json: .*damaged"):
            run_folder.read_json(path)


def test_the_command_line_ends_with_its_status_and_one_line(vae_run, environment, tmp_path):
    """Real scripts, one after the other in one real process: importing TensorFlow is slow."""
    (shutil.copytree(vae_run, tmp_path / "run") / "Encoder_b2.dat").write_text("0.5\n")
    cases = [
        ("vae_main.py", ["--data_path", "no.dat"], 2, "no.dat"),
        ("beta_vae_main.py", ["--beta", "-1"], 2, "argument --beta"),
        ("beta_sweep.py", ["--beta", "1", "1"], 2, "argument --beta"),
        ("vae_decoder_sample_generation.py", ["--model_dir", "none"], 2, "none"),
        ("beta_vae_after_training.py", ["--model_dir", "run"], 2, "Encoder_b2.dat"),
        ("beta_vae_main.py", ["--help"], 0, None),
    ]
    before = contents(tmp_path)
    code = """
import json, pathlib, runpy, sys
for script, argv, *_ in json.loads(sys.argv[1]):
    sys.argv = [script, *argv]
    sys.path[0] = str(pathlib.Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as left:
        print("status", left.code, file=sys.stderr, flush=True)
"""
    in_full = [(str(ROOT / script), argv) for script, argv, *_ in cases]
    command = [sys.executable, "-c", code, json.dumps(in_full)]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    lines = iter(result.stderr.splitlines())
    for script, _, status, said in cases:
        if said is not None:
            line = next(lines)
            assert line.startswith(f"{script}: error: ")
            assert said in line
        assert next(lines) == f"status {status}"
    assert list(lines) == []
    assert "usage: beta_vae_main.py" in result.stdout
    assert contents(tmp_path) == before
    assert read_json(tmp_path / "run" / "config.json")["model"] == "vae"
