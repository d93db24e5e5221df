"""Wrong input of the mains: one line on stderr, exit status 2, no file made or changed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import beta_vae_main
import vae_decoder_sample_generation
import vae_main

ROOT = Path(vae_main.__file__).parent
MAINS = [vae_main, beta_vae_main]
RUNS = {
    "vae": (vae_main.main, []),
    "beta_vae": (beta_vae_main.main, []),
    "sweep": (beta_vae_main.main, ["--beta", "1", "2"]),
}


def text_file(folder, text):
    (folder / "x.dat").write_text(text)
    return ["--data_path", folder / "x.dat", "--data_dim", "3", "--output_dir", folder / "out"]


@pytest.mark.parametrize("main", [m.main for m in MAINS], ids=["vae_main", "beta_vae_main"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no row"),
        ("# only a comment\n", "no row"),
        ("1 2 3\n4 five 6\n", "line 2: could not convert string 'five'"),
        ("1 2 3\n4 5 6\n7 8 nan\n", "row 3, column 3"),
        ("1 2 3\ninf 5 6\n", "row 2, column 1"),
        ("1 2 3\n4 5\n", "line 2: the number of columns changed from 3 to 2"),
        ("1 2\n3 4\n", "has 2 columns, --data_dim is 3"),
        ("1 2 3\n", "1 row"),
    ],
)
def test_a_data_file_that_is_no_table_is_refused_with_its_place(
    refused, tmp_path, main, text, said
):
    line = refused(main, text_file(tmp_path, text))
    assert said in line
    assert "x.dat" in line or "--" in line


@pytest.mark.parametrize("main", [m.main for m in MAINS], ids=["vae_main", "beta_vae_main"])
def test_a_missing_data_file_is_refused(refused, tmp_path, main):
    line = refused(main, ["--data_path", tmp_path / "no.dat", "--output_dir", tmp_path / "out"])
    assert str(tmp_path / "no.dat") in line


@pytest.mark.parametrize(("main", "beta"), RUNS.values(), ids=RUNS)
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--training_data_size", "50"], "--training_data_size 50: of 50 rows"),
        (["--training_data_size", "60"], "--training_data_size 60: of 50 rows"),
        (["--data_size", "20", "--training_data_size", "30"], "of 20 rows"),
        (["--batch_size", "41"], "--batch_size 41: is above the 40 training rows"),
    ],
)
def test_sizes_that_the_data_cannot_give_are_refused(
    refused, tmp_path, data_file, main, beta, flags, said
):
    base = ["--data_path", data_file, "--data_dim", "3", "--output_dir", tmp_path / "out"]
    assert said in refused(main, [*base, *flags, *beta])


def test_another_data_dim_without_a_file_is_refused(refused, tmp_path):
    argv = ["--data_dim", "3", "--data_size", "20", "--output_dir", tmp_path / "out"]
    assert "--data_dim 3" in refused(vae_main.main, argv)


SIZES = "--data_size --training_data_size --data_dim --n_dim --n_width --n_epoch --batch_size"
WRONG = [(flag, value) for flag in SIZES.split() for value in ("0", "-3", "2.5", "many", "")]
WRONG += [
    (flag, value)
    for flag in ("--lr", "--decoder_std", "--clip_norm")
    for value in ("0", "-0.1", "nan", "inf", "-inf", "1e999", "small")
]
WRONG += [("--min_log_std", value) for value in ("-41", "nan", "low")]
WRONG += [("--seed", value) for value in ("-1", "1.5", "2147483648", "x")]
WRONG += [("--lr_schedule", "linear"), ("--optimizer", "lbfgs"), ("--data_size", "1")]
WRONG += [("--lrr", "1"), ("--n_epo", "3"), ("--resume", "yes"), ("--n_dim", None)]


@pytest.mark.parametrize("script", MAINS, ids=["vae_main", "beta_vae_main"])
@pytest.mark.parametrize(("flag", "value"), WRONG)
def test_a_wrong_flag_is_refused_by_name(refused, script, flag, value):
    line = refused(script.main, [flag] if value is None else [f"{flag}={value}"])
    assert "error: " in line
    assert flag in line


@pytest.mark.parametrize(
    "beta", [["-1"], ["-0.5"], ["nan"], ["inf"], ["1", "-2"], ["2", "2.0"], ["big"], []]
)
def test_a_wrong_beta_is_refused(refused, beta):
    assert "--beta" in refused(beta_vae_main.main, ["--beta", *beta])


@pytest.mark.parametrize("content", [None, b'--output_dir "open', b"\xff\xfe\x00--lr", b"--lrr 1"])
def test_a_file_of_flags_that_cannot_be_read_is_refused(refused, tmp_path, content):
    if content is not None:
        (tmp_path / "my.args").write_bytes(content)
    line = refused(vae_main.main, [f"@{tmp_path / 'my.args'}"])
    assert any(named in line for named in ("my.args", "--lrr", "--output_dir"))


@pytest.mark.parametrize(("main", "beta"), RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("place", ["file", "file/out", "file/deep/out"])
def test_an_output_folder_that_cannot_be_made_is_refused(
    refused, tmp_path, data_file, main, beta, place
):
    (tmp_path / "file").write_text("mine")
    argv = ["--data_path", data_file, "--data_dim", "3", "--batch_size", "4", *beta]
    line = refused(main, [*argv, "--output_dir", tmp_path / place])
    assert f"--output_dir {tmp_path / place}" in line


@pytest.mark.parametrize(("main", "beta"), RUNS.values(), ids=RUNS)
def test_a_folder_that_holds_results_is_left_as_it_is(refused, run_copy, data_file, main, beta):
    folder = run_copy(vae_decoder_sample_generation)
    argv = ["--data_path", data_file, "--data_dim", "3", "--batch_size", "4", *beta]
    line = refused(main, [*argv, "--output_dir", folder])
    assert str(folder) in line
    assert "holds results already" in line


def test_resuming_the_run_of_another_script_is_refused(refused, run_copy, data_file):
    folder = run_copy(vae_decoder_sample_generation)
    argv = ["--data_path", data_file, "--data_dim", "3", "--output_dir", folder, "--resume"]
    assert "model vae, now beta_vae" in refused(beta_vae_main.main, [*argv, "--batch_size", "4"])


@pytest.mark.parametrize("change", [{"n_epoch": None}, {"n_epoch": "3"}, {"n_epoch": [1]}])
def test_resuming_from_a_damaged_config_is_refused(refused, run_copy, data_file, change):
    folder = run_copy(vae_decoder_sample_generation)
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v}))
    flags = "--data_dim 3 --n_width 5 --batch_size 4 --training_data_size 38 --lr 0.02 --seed 7"
    argv = [*flags.split(), "--data_path", data_file, "--output_dir", folder, "--resume"]
    assert "n_epoch" in refused(vae_main.main, [*argv, "--n_epoch", "3"])


def test_a_batch_larger_than_the_drawn_training_rows_is_refused(refused, tmp_path):
    argv = ["--data_size", "10", "--batch_size", "9", "--output_dir", tmp_path / "out"]
    assert "--batch_size 9: is above the 8" in refused(vae_main.main, argv)


def test_the_command_line_ends_with_its_status_and_one_line(
    beta_run, contents, environment, tmp_path
):
    """Real scripts in a real process; one process for all, because importing TensorFlow is slow."""
    (Path(shutil.copytree(beta_run, tmp_path / "run")) / "Encoder_b2.dat").write_text("0.5\n")
    (tmp_path / "x.dat").write_text("1 2\n3 x\n")
    cases = [
        ("vae_main.py", ["--data_path", "no.dat"], 2, "vae_main.py: error: no.dat"),
        ("vae_main.py", ["--data_path", "x.dat"], 2, "x.dat, line 2: could not"),
        ("beta_vae_main.py", ["--beta", "-1"], 2, "beta_vae_main.py: error: argument --beta"),
        ("vae_decoder_sample_generation.py", ["--model_dir", "none"], 2, "none/config.json"),
        ("beta_vae_after_training.py", ["--model_dir", "run"], 2, "Encoder_b2.dat: has shape"),
        ("beta_vae_main.py", ["--help"], 0, None),
    ]
    before = contents(tmp_path)
    code = """
import json, runpy, sys
for script, argv, *_ in json.loads(sys.argv[1]):
    sys.argv = [script, *argv]
    sys.path[0] = script.rpartition("/")[0]
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
            assert said in line
            assert script in line
        assert next(lines) == f"status {status}"
    assert list(lines) == []
    assert "usage: beta_vae_main.py" in result.stdout
    assert contents(tmp_path) == before
