"""Flags, their defaults, files of flags, and how a script exits."""

import pytest
from helpers import ROOT

import beta_sweep
import beta_vae_after_training
import beta_vae_main
import mnist_vae_after_training
import mnist_vae_main
import vae_decoder_sample_generation
import vae_main

GAUSSIAN_FLAGS = (
    "--data_path --covariance_path --mean_path --data_size --training_data_size --data_dim "
    "--mixture_path --keep "
    "--standardize --no-standardize --n_dim --n_width --activation --decoder_std --min_log_std "
    "--n_epoch --batch_size --lr --lr_schedule --optimizer --clip_norm --weight_decay --seed "
    "--output_dir --resume --tensorboard --distribute"
).split()
AFTER_FLAGS = "--model_dir --n_samples --draw --seed".split()
SCRIPTS = {
    vae_main: GAUSSIAN_FLAGS,
    beta_vae_main: [*GAUSSIAN_FLAGS, "--beta"],
    beta_sweep: "--beta --output_dir --resume".split(),
    vae_decoder_sample_generation: [*AFTER_FLAGS, "--output"],
    beta_vae_after_training: [*AFTER_FLAGS, "--data_path", "--output_dir", "--format"],
    mnist_vae_main: (
        "--data_path --n_dim --n_width --batch_size --n_epoch --lr --output_dir --beta --seed "
        "--resume --activation --tensorboard --distribute"
    ).split(),
    mnist_vae_after_training: ["--model_dir", "--data_path", "--n_importance"],
}
GUIDELINES = {  # the guidelines' own settings
    vae_main: {
        "data_path": "data/input_data.dat", "training_data_size": 80, "standardize": False,
        "batch_size": 5,
    },
    beta_vae_main: {
        "covariance_path": "data/star_3_dominant.dat", "data_size": 1_000_000,
        "training_data_size": 300_000, "data_dim": 3, "beta": 1.02, "batch_size": 1000,
    },
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_help_names_every_flag_of_the_contract_and_no_default_of_none(script, capsys):
    with pytest.raises(SystemExit) as left:
        script.parse_arguments(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for flag in SCRIPTS[script]:
        assert flag in shown
    assert "(default: None)" not in shown


def test_defaults_of_the_two_mains_are_the_same_and_those_of_the_contract():
    vae, beta_vae = (vars(main.parse_arguments([])) for main in (vae_main, beta_vae_main))
    for name in ("output_dir", "model"):
        del vae[name], beta_vae[name]
    assert beta_vae.pop("beta") == 4.0
    assert vae == beta_vae
    expected = {"data_path": None, "data_size": 100_000, "data_dim": None, "n_dim": 2}
    expected |= {"n_width": [128], "decoder_std": "learned", "seed": 0, "resume": False}
    of_drawn = {"standardize": False, "keep": "last", "lr": 0.004}
    expected |= of_drawn
    assert {name: vae[name] for name in expected} == expected
    of_file = vars(vae_main.parse_arguments(["--data_path", "x.dat"]))
    assert [of_file[name] for name in of_drawn] == [True, "best", 0.003]


@pytest.mark.parametrize("script", GUIDELINES, ids=lambda script: script.__name__)
def test_the_guidelines_own_settings_can_be_read_from_a_file(script):
    preset = script.__name__.replace("_main", "_guideline.args")
    args = script.parse_arguments([f"@{ROOT / 'presets' / preset}"])
    expected = {"n_epoch": 2, "n_width": [128], "optimizer": "sgd", "lr": 0.001}
    expected |= {"lr_schedule": "constant"} | GUIDELINES[script]
    assert {name: vars(args)[name] for name in expected} == expected


def test_flag_files_hold_comments_and_quotes_and_later_flags_win(tmp_path):
    path = tmp_path / "my.args"
    path.write_text("# don't\n--lr 0.5 --n_dim 3  # a half\n\n--output_dir 'a b'\n")
    args = vae_main.parse_arguments([f"@{path}", "--n_dim", "4"])
    assert (args.lr, args.n_dim, args.output_dir) == (0.5, 4, "a b")


@pytest.mark.parametrize(
    ("flag", "meant"), [("--n_epochs", "--n_epoch"), ("--epoch", "--n_epoch"), ("--beta", None)]
)
def test_a_mistyped_flag_is_answered_by_the_one_that_was_meant(flag, meant, capsys):
    with pytest.raises(SystemExit) as left:
        vae_main.parse_arguments([flag, "3"])
    assert left.value.code == 2
    hint = f"; did you mean {meant}?" if meant else ""
    message = f"error: unrecognized arguments: {flag} 3{hint}\n"
    assert capsys.readouterr().err.endswith(message)


def test_a_script_that_is_interrupted_exits_with_status_130(ends):
    def interrupted(_):
        raise KeyboardInterrupt

    assert ends(interrupted, [])[0] == 130
