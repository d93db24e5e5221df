"""--keep best: the weights of the epoch of highest validation ELBO, through kill and resume."""

import numpy as np
import pytest
from helpers import contents, read_json, rows_of, weights

import vae_main
from analysis import run_figures
from training import run as run_module

# 44 rows train; a large rate without decay memorizes them within a few epochs.
FLAGS = (
    "--data_size 60 --training_data_size 44 --n_width 16 --batch_size 22 --n_epoch 12 --lr 0.05 "
    "--lr_schedule constant"
).split()


@pytest.fixture
def train(tmp_path, monkeypatch, uncompiled):
    monkeypatch.setattr(run_figures, "draw_run", lambda *_: None)

    def call(name, *flags):
        vae_main.main([*FLAGS, "--output_dir", str(tmp_path / name), *flags])
        return tmp_path / name

    return call


def test_the_epoch_of_the_highest_validation_elbo_is_kept(train):
    best = train("best", "--keep", "best")
    rows = rows_of(best / "history.csv")
    elbos = [float(row["elbo_validation"]) for row in rows]
    report = read_json(best / "report.json")
    kept = report["kept_epoch"]
    assert kept == 1 + int(np.argmax(elbos))
    assert kept < 12
    assert report["rows_held_out"] == 8  # the other half of the 16 rows that did not train
    shorter = train("shorter", "--keep", "best", "--n_epoch", str(kept))
    assert weights(shorter) == weights(best)
    last = train("last", "--keep", "last")
    assert read_json(last / "report.json")["kept_epoch"] == 12
    assert weights(last) != weights(best)
    assert "elbo_held_out" in rows_of(last / "history.csv")[0]


def test_the_best_weights_survive_a_crash_after_their_epoch(train, monkeypatch):
    whole = train("whole", "--keep", "best")
    kept = read_json(whole / "report.json")["kept_epoch"]
    monkeypatch.setattr(run_module, "SECONDS_BETWEEN_EPOCH_CHECKPOINTS", 0.0)
    end_epoch = run_module.Run.end_epoch

    def crash_two_epochs_later(run, elbo):
        if run.state.epoch == kept + 2:
            raise RuntimeError("power cut")
        end_epoch(run, elbo)

    with monkeypatch.context() as patch:
        patch.setattr(run_module.Run, "end_epoch", crash_two_epochs_later)
        with pytest.raises(RuntimeError, match="power cut"):
            train("cut", "--keep", "best")
    cut = train("cut", "--keep", "best", "--resume")
    assert weights(cut) == weights(whole)
    assert read_json(cut / "report.json")["kept_epoch"] == kept


def test_a_finished_run_of_drawn_data_keeps_the_last_epoch_unless_told_otherwise(train, tmp_path):
    train("drawn", "--n_epoch", "1")
    assert read_json(tmp_path / "drawn" / "config.json")["keep"] == "last"
    assert "report.json" in contents(tmp_path / "drawn")
