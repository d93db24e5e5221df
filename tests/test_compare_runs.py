"""Several finished runs side by side: one table and one picture."""

import json

import numpy as np
import pytest

import compare_runs
from training.errors import InputError

ELBO = [-9.0, -5.0, -3.5]


def finished_run(folder, settings, elbo=ELBO):
    """A run folder with what compare_runs reads."""
    folder.mkdir()
    report = {"elbo_held_out": elbo[-1], "rate": 3.25, "active_units": 2, "seconds": 31.987}
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    rows = [f"{epoch},{value}" for epoch, value in enumerate(elbo, 1)]
    history = "\n".join(["epoch,elbo_held_out", *rows]) + "\n"
    (folder / "history.csv").write_text(history, encoding="utf-8")
    return str(folder)


def test_the_table_has_the_settings_that_differ_and_the_results(tmp_path, capsys):
    same = {"n_dim": 2, "n_width": [128], "seed": 0}
    runs = [
        finished_run(tmp_path / "vae", {**same, "model": "vae", "lr": 0.0007}),
        finished_run(tmp_path / "beta", {**same, "model": "beta_vae", "beta": 4.0, "lr": 2e-5}),
    ]
    picture = tmp_path / "new" / "compare.png"
    compare_runs.main([*runs, "--output", str(picture)])
    header, vae, beta, last = capsys.readouterr().out.splitlines()
    assert header.split()[1:4] == ["beta", "model", "lr"]
    assert vae.split()[1:] == ["1", "vae", "0.0007", "-3.5000", "-", "3.2500", "2", "32.0"]
    assert beta.split()[1:4] == ["4", "beta_vae", "2e-05"]
    assert str(picture) in last and "median" not in last
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_runs_that_differ_in_the_seed_alone_are_one_group_as_long_as_the_shortest():
    settings = [{"n_dim": n, "seed": seed} for n, seed in ((2, 0), (2, 1), (3, 0))]
    elbos = [np.array(ELBO), np.array(ELBO[:2]) - 1.0, np.array(ELBO)]
    groups = compare_runs.groups_by_settings(["a", "b", "c"], settings, elbos)
    assert list(groups) == ["n_dim 2", "n_dim 3"]
    epochs, values = groups["n_dim 2"]
    np.testing.assert_array_equal(epochs, [1, 2])
    np.testing.assert_array_equal(values, [[-9.0, -5.0], [-10.0, -6.0]])


def test_of_runs_of_two_kinds_only_the_settings_of_both_are_compared(tmp_path, capsys):
    gaussian = finished_run(tmp_path / "a", {"model": "vae", "n_dim": 2, "decoder_std": "shared"})
    images = finished_run(tmp_path / "b", {"model": "mnist_vae", "n_dim": 9, "batch_norm": True})
    compare_runs.main([gaussian, images, "--output", str(tmp_path / "compare.png")])
    header = capsys.readouterr().out.splitlines()[0].split()
    assert header == ["run", "model", "n_dim", *compare_runs.RESULTS]


def test_a_label_too_long_for_the_picture_gives_way_to_the_folder():
    many = [{f"a_long_setting_{k}": k * run for k in range(9)} for run in (1, 2)]
    groups = compare_runs.groups_by_settings(["here", "there"], many, [np.array(ELBO)] * 2)
    assert list(groups) == ["here", "there"]


def test_the_last_line_names_the_median_where_seeds_differ(tmp_path, capsys):
    runs = [finished_run(tmp_path / f"seed_{seed}", {"seed": seed}) for seed in (0, 1)]
    compare_runs.main([*runs, "--output", str(tmp_path / "compare.png")])
    assert "median and range" in capsys.readouterr().out.splitlines()[-1]


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    run = finished_run(tmp_path / "run", {"seed": 0})
    (tmp_path / "run" / "report.json").unlink()
    with pytest.raises(InputError, match="not the folder of a finished run"):
        compare_runs.main([run])
    damaged = finished_run(tmp_path / "damaged", {"seed": 0})
    (tmp_path / "damaged" / "history.csv").write_text("epoch\n1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"history\.csv"):
        compare_runs.main([damaged])
