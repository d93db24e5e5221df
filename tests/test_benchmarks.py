"""The benchmarks: what is computed of the times, and that the project and Keras take one step."""

import numpy as np
import pytest

from benchmarks import measuring, speed, waiting
from benchmarks.peers import floor, keras_fit, this_project
from benchmarks.peers.problems import MNIST, Problem

SMALL = Problem(data_dim=10, n_width=[5], n_dim=2, likelihood="gaussian")


def test_the_time_to_a_gap_ends_where_the_gap_stays_below_it():
    epochs = [(1.0, 0.3), (2.0, 0.05), (4.0, 0.2), (8.0, 0.09), (16.0, 0.01)]
    assert waiting.seconds_until(0.1, epochs) == 15
    assert waiting.seconds_until(0.5, epochs) == 1
    assert waiting.seconds_until(0.01, epochs) == np.inf


def test_keras_takes_the_steps_of_the_project_and_both_train():
    x = SMALL.rows(4)
    epsilon = np.random.default_rng(0).standard_normal((4, 2), np.float32)
    costs = []
    for peer in (this_project, keras_fit):
        trainer = peer.Trainer(SMALL, x, 4, "adam")
        costs.append(np.array([trainer.step(x, epsilon) for _ in range(3)]))
        before = trainer.weights()
        trainer.train(1)
        assert not np.array_equal(trainer.weights()[0], before[0])
    speed.check("Keras", costs[1], costs[0], tolerance=1e-5)
    with pytest.raises(SystemExit, match="Keras computes something else"):
        speed.check("Keras", 1.001 * costs[1], costs[0], tolerance=1e-5)


def test_the_floor_multiplies_as_many_numbers_as_a_step_does():
    products = floor.Trainer(MNIST, np.zeros((40, 784)), 20, "adam").products
    weights = sum(n_in * n_out for n_in, n_out in MNIST.shapes)
    of_first_layer = 784 * 500  # needs no gradient of its inputs
    done = sum(a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in products)
    assert done == 20 * (3 * weights - of_first_layer)


def test_a_peer_that_is_not_installed_is_left_out_with_one_line(capsys, monkeypatch):
    monkeypatch.setattr(measuring.importlib.util, "find_spec", lambda name: None)
    with measuring.peers({"JAX": "jax_scan"}, "Trainer") as peers:
        assert peers == []
    assert capsys.readouterr().err == "JAX is left out: optax is not installed\n"
