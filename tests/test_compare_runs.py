"""Several finished runs side by side: one table and one picture."""

import json
from pathlib import Path

import numpy as np
import pytest

import compare_runs

ELBO = [-9.0, -5.0, -3.5]


def finished_run(folder, settings, followed="elbo_held_out"):
    """A run folder with what compare_runs reads."""
    folder.mkdir()
    report = {"elbo_held_out": ELBO[-1], "gap": -1e-9, "active_units": 2, "seconds": 31.987}
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    rows = [f"{epoch},{value}" for epoch, value in enumerate(ELBO, 1)]
    history = "\n".join([f"epoch,{followed}", *rows]) + "\n"
    (folder / "history.csv").write_text(history, encoding="utf-8")
    return str(folder)


def run(settings, elbo=ELBO, folder="here"):
    return compare_runs.FinishedRun(Path(folder), settings, {}, np.array(elbo), "held-out ELBO")


def test_the_table_has_the_settings_that_differ_and_the_results(tmp_path, capsys):
    same = {"n_dim": 2, "n_width": [128], "seed": 0}
    settings = {"beta": 1.0, "model": "vae", "lr": 0.0007}, {"beta": 4.0, "model": "b", "lr": 2e-5}
    runs = [finished_run(tmp_path / more["model"], same | more) for more in settings]
    picture = tmp_path / "new" / "compare.png"
    compare_runs.main([*runs, "--output", str(picture)])
    header, vae, beta, last = capsys.readouterr().out.splitlines()
    assert header.split() == ["run", "beta", "model", "lr", *compare_runs.RESULTS]
    assert vae.split()[1:] == ["1", "vae", "0.0007", "-3.5000", "0.0000", "-", "2", "32.0"]
    assert beta.split()[1:4] == ["4", "b", "2e-05"]
    assert str(picture) in last and "median" not in last
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_runs_that_differ_in_the_seed_alone_are_one_group_as_long_as_the_shortest():
    settings = [{"n_dim": n, "seed": seed} for n, seed in ((2, 0), (2, 1), (3, 0))]
    elbos = [np.array(ELBO), np.array(ELBO[:2]) - 1.0, np.array(ELBO)]
    groups = compare_runs.groups_by_settings(list(map(run, settings, elbos)))
    assert list(groups) == ["n_dim 2", "n_dim 3"]
    np.testing.assert_array_equal(groups["n_dim 2"], [[-9.0, -5.0], [-10.0, -6.0]])


def test_a_label_too_long_for_the_picture_gives_way_to_the_folder():
    many = [run({f"a_long_setting_{k}": k * n for k in range(9)}, folder=str(n)) for n in (1, 2)]
    assert list(compare_runs.groups_by_settings(many)) == ["1", "2"]


def test_tables_of_one_name_in_two_folders_are_two_groups():
    runs = [run({"data_path": f"/{folder}/x.csv"}, folder=folder) for folder in ("first", "second")]
    assert list(compare_runs.groups_by_settings(runs)) == ["data_path x.csv", "second"]


def test_the_last_line_names_the_rows_that_were_followed_and_the_median(tmp_path, capsys):
    runs = [
        finished_run(tmp_path / "best", {"seed": 0}, followed="elbo_validation"),
        finished_run(tmp_path / "last", {"seed": 1}),
    ]
    compare_runs.main([*runs, "--output", str(tmp_path / "compare.png")])
    last = capsys.readouterr().out.splitlines()[-1]
    assert "held-out ELBO or validation ELBO" in last and "median and range" in last


def test_a_run_on_images_and_one_on_a_table_cannot_be_compared(tmp_path, refused):
    table = finished_run(tmp_path / "a", {"model": "vae", "n_dim": 2})
    images = finished_run(tmp_path / "b", {"model": "mnist_vae", "n_dim": 9})
    line = refused(compare_runs.main, [table, images])
    assert table in line and images in line and "can't be compared" in line


def test_a_picture_of_another_format_is_refused(tmp_path, refused):
    one = finished_run(tmp_path / "run", {"seed": 0})
    assert "x.pdf must end in .png" in refused(compare_runs.main, [one, "--output", "x.pdf"])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("report.json", None, "not the folder of a finished run"),
        ("history.csv", "epoch\n1\n", "history.csv: damaged (it has no column elbo_validation"),
        ("history.csv", None, "history.csv: missing or damaged"),
        ("history.csv", "", "history.csv: missing or damaged"),
        ("config.json", "{", "config.json: missing or damaged"),
    ],
)
def test_a_folder_without_a_whole_run_is_refused(tmp_path, refused, name, text, words):
    folder = finished_run(tmp_path / "run", {"seed": 0})
    path = tmp_path / "run" / name
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert words in refused(compare_runs.main, [folder])
