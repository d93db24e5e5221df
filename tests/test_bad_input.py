"""Wrong input: one line on stderr, exit status 2, no file made or changed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import beta_vae_after_training
import beta_vae_main
import vae_decoder_sample_generation
import vae_main
from run_files import InputError
from vae_models import VAE, load_weight

ROOT = Path(vae_main.__file__).parent
MAINS = [vae_main, beta_vae_main]
RUNS = {
    "vae": (vae_main.main, []),
    "beta_vae": (beta_vae_main.main, []),
    "sweep": (beta_vae_main.main, ["--beta", "1", "2"]),
}
AFTER_TRAINING = [vae_decoder_sample_generation, beta_vae_after_training]


def script_name(script):
    return script.__name__


def text_file(folder, text):
    (folder / "x.dat").write_text(text)
    return ["--data_path", folder / "x.dat", "--data_dim", "3", "--output_dir", folder / "out"]


@pytest.fixture
def run_copy(beta_run, vae_run, tmp_path):
    """run_copy(script): a copy of the run folder that an after-training script works on."""

    def call(script):
        run = beta_run if script is beta_vae_after_training else vae_run
        unused = shutil.ignore_patterns("checkpoint", "figures")
        return Path(shutil.copytree(run, tmp_path / "run", ignore=unused))

    return call


@pytest.mark.parametrize("main", [m.main for m in MAINS], ids=["vae_main", "beta_vae_main"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no row"),
        ("# only a comment\n", "no row"),
        ("1 2 3\n4 five 6\n", "line 2, column 2: 'five' is not a number"),
        ("1 2 3\n4 5 6\n7 8 nan\n", "line 3, column 3"),
        ("1 2 3\ninf 5 6\n", "line 2, column 1"),
        ("1 2 3\n4 5\n", "line 2: has 2 columns"),
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
        (["--batch_size", "41"], "--batch_size 41 is above the 40 training rows"),
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


@pytest.mark.parametrize("script", MAINS, ids=script_name)
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
    [("1 2 3\n4 x 6\n", "line 2, column 2"), ("1 2\n", "2 columns"), ("", "no row")],
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


def test_a_batch_larger_than_the_drawn_training_rows_is_refused(refused, tmp_path):
    argv = ["--data_size", "10", "--batch_size", "9", "--output_dir", tmp_path / "out"]
    assert "--batch_size 9 is above the 8" in refused(vae_main.main, argv)


def test_the_command_line_ends_with_its_status_and_one_line(
    beta_run, contents, environment, tmp_path
):
    """Real scripts in a real process; one process for all, because importing TensorFlow is slow."""
    (Path(shutil.copytree(beta_run, tmp_path / "run")) / "Encoder_b2.dat").write_text("0.5\n")
    (tmp_path / "x.dat").write_text("1 2\n3 x\n")
    cases = [
        ("vae_main.py", ["--data_path", "no.dat"], 2, "vae_main.py: error: no.dat"),
        ("vae_main.py", ["--data_path", "x.dat"], 2, "x.dat, line 2, column 2"),
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
