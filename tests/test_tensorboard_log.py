import pytest
import tensorflow as tf
from helpers import rows_of

import vae_main
from training import command_line


def events(folder):
    """What the event files hold: (tag, step) -> tensor as numpy."""
    values = {}
    for path in folder.glob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                values[value.tag, event.step] = tf.make_ndarray(value.tensor)
    return values


def test_tensorboard_gets_the_history(train):
    pytest.importorskip("tensorboard")
    folder = train(vae_main.main, "--tensorboard")
    found = events(folder / "tensorboard")
    for row in rows_of(folder / "history.csv"):
        for name in ("kl", "log_px_z", "elbo", "elbo_held_out", "seconds"):
            assert found[name, int(row["epoch"])] == pytest.approx(float(row[name]), rel=1e-6)


def test_without_the_package_tensorboard_is_refused_in_one_line(refused, monkeypatch):
    monkeypatch.setattr(command_line, "find_spec", lambda name: None)
    assert "pip install tensorboard" in refused(vae_main.main, ["--tensorboard"])
