"""Flags, their defaults, files of flags, and how a script leaves."""

from pathlib import Path

import pytest

import beta_vae_after_training
import beta_vae_main
import mnist_vae_after_training
import mnist_vae_main
import vae_decoder_sample_generation
import vae_main
from training import errors

ROOT = Path(vae_main.__file__).parent
RUN_FLAGS = (
    "--data_path --data_size --training_data_size --data_dim --n_dim --n_width --n_epoch "
    "--batch_size --lr --lr_schedule --optimizer --decoder_std --seed --output_dir --resume"
).split()
SCRIPTS = {
    vae_main: RUN_FLAGS,
    beta_vae_main: [*RUN_FLAGS, "--beta"],
    vae_decoder_sample_generation: ["--model_dir", "--n_samples", "--output", "--seed"],
    beta_vae_after_training: ["--model_dir", "--n_samples", "--data_path", "--seed"],
    mnist_vae_main: (
        "--data_path --n_dim --n_width --batch_size --n_epoch --lr --output_dir --beta --seed "
        "--resume"
    ).split(),
    mnist_vae_after_training: ["--model_dir", "--data_path", "--n_importance"],
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_help_names_every_flag_of_the_contract_with_its_default(script, capsys):
    with pytest.raises(SystemExit) as left:
        script.main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for flag in SCRIPTS[script]:
        assert flag in shown
    assert shown.count("(default:") >= len(SCRIPTS[script])


def test_defaults_of_the_two_mains_are_the_same_and_those_of_the_contract():
    vae, beta_vae = (vars(main.parse_arguments([])) for main in (vae_main, beta_vae_main))
    assert (vae.pop("output_dir"), beta_vae.pop("output_dir")) == (
        "results/vae",
        "results/beta_vae",
    )
    beta_vae.pop("beta")
    assert vae == beta_vae
    expected = {"data_path": None, "data_size": 100_000, "data_dim": 10, "n_dim": 2, "n_width": 128}
    expected |= {"decoder_std": None, "seed": 0, "resume": False}
    assert {name: vae[name] for name in expected} == expected


@pytest.mark.parametrize("script", [vae_main, beta_vae_main], ids=lambda script: script.__name__)
def test_the_guidelines_own_settings_can_be_read_from_a_file(script):
    args = script.parse_arguments([f"@{ROOT / 'presets' / 'vae_guideline.args'}"])
    expected = {"data_path": "data/input_data.dat", "training_data_size": 80}
    expected |= {"batch_size": 5, "n_epoch": 2}
    expected |= {"n_width": 128, "optimizer": "sgd", "lr": 0.001, "lr_schedule": "constant"}
    assert {name: vars(args)[name] for name in expected} == expected


def test_flag_files_hold_comments_and_quotes_and_later_flags_win(tmp_path):
    path = tmp_path / "my.args"
    path.write_text("# don't\n--lr 0.5 --n_dim 3  # a half\n\n--output_dir 'a b'\n")
    args = vae_main.parse_arguments([f"@{path}", "--n_dim", "4"])
    assert (args.lr, args.n_dim, args.output_dir) == (0.5, 4, "a b")


def test_a_script_that_is_stopped_leaves_by_its_own_status(ends):
    def stopped():
        raise errors.Stopped("stopped in epoch 3", status=143)

    def interrupted():
        raise KeyboardInterrupt

    def full_disk():
        raise OSError(28, "No space left on device", "x.dat")

    assert ends(lambda _: stopped(), [])[0] == 143
    assert ends(lambda _: interrupted(), [])[0] == 130
    status, lines = ends(lambda _: full_disk(), [])
    assert status == 1
    assert len(lines) == 1
    assert "x.dat: No space left on device" in lines[0]
