"""The peers of the benchmarks compute what this project computes; what they take is not tested."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import beside_peers, measuring
from benchmarks.peers import numpy_by_hand
from benchmarks.peers.problems import Problem
from benchmarks.peers.this_project import make_model
from vae_models import cost_function

PROBLEMS = {"sgd": Problem(10, 5, 2, "gaussian"), "adam": Problem(784, 5, 3, "bernoulli")}
PEERS = ["this_project", "guideline", "keras_fit", "jax_scan", "pytorch", "numpy_by_hand"]


def peer_module(name):
    pytest.importorskip({"jax_scan": "jax", "pytorch": "torch"}.get(name, "numpy"))
    return importlib.import_module(f"benchmarks.peers.{name}")


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=lambda p: p.likelihood)
def test_the_gradients_written_by_hand_are_those_of_the_project(problem):
    model = make_model(problem)
    x, epsilon = problem.batch(4)
    with tf.GradientTape() as tape:
        cost = cost_function(*model.elbo_terms(x, epsilon))
    expected = tape.gradient(cost, model.trainable_variables)
    weights = [w.astype(np.float64) for w in problem.first_weights()]
    gradients = [np.zeros_like(w) for w in weights]
    networks = (numpy_by_hand.Network(half, 4) for half in (weights[:6], weights[6:]))
    by_hand = numpy_by_hand.cost_and_gradients(problem.likelihood, *networks, x, epsilon, gradients)
    np.testing.assert_allclose(by_hand, cost, rtol=1e-6)
    for ours, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", PROBLEMS)
@pytest.mark.parametrize("name", PEERS)
def test_every_peer_takes_the_same_steps_and_can_train(name, optimizer):
    problem = PROBLEMS[optimizer]
    trainer = peer_module(name).Trainer(problem, problem.rows(8), 4, optimizer)
    costs = beside_peers.three_steps(trainer.step, problem, 4)
    moved = beside_peers.change(trainer.weights(), problem)
    expected = beside_peers.reference(problem, 4, optimizer)
    beside_peers.check(name, costs, moved, *expected, optimizer)
    trainer.train(1)
    assert not np.array_equal(beside_peers.change(trainer.weights(), problem), moved)


@pytest.mark.parametrize("name", sorted({*PEERS} - {"guideline", "keras_fit"}))
def test_every_peer_generates_the_same_distribution(name):
    problem = PROBLEMS["sgd"]
    generator = peer_module(name).Generator(problem)
    beside_peers.check_samples(name, problem, generator.decode, generator.generate, 20_000)


def test_a_peer_that_computes_something_else_stops_the_benchmark():
    expected = beside_peers.reference(PROBLEMS["sgd"], 4, "sgd")
    costs, moved = expected
    with pytest.raises(SystemExit, match="numpy: the costs"):
        beside_peers.check("numpy", [c * 1.0001 for c in costs], moved, *expected, "sgd")
    with pytest.raises(SystemExit, match="numpy: the weights"):
        beside_peers.check("numpy", costs, 1.01 * moved, *expected, "sgd")


def test_a_peer_that_is_not_installed_is_left_out_with_one_line(capsys, monkeypatch):
    monkeypatch.setattr(measuring.importlib.util, "find_spec", lambda name: None)
    assert measuring.start([("JAX", "jax_scan", "Trainer")]) == []
    assert capsys.readouterr().err == "JAX is left out: jax is not installed\n"
