import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

import data_processing
import vae_main
from analysis import known
from data_processing import Batches
from training.prefetch import prefetched
from training.tables import load_table

ROWS = np.arange(33, dtype=np.float32).reshape(11, 3)  # each row known by its first number


def numbered(n_rows):
    return np.arange(3 * n_rows, dtype=np.float32).reshape(n_rows, 3)


def used_rows(chunks):
    """The rows of x in the order in which the steps of the chunks use them."""
    return np.concatenate([x[:n].reshape(-1, x.shape[-1]) for x, _, n in chunks])


def test_streams_repeat_and_differ_by_seed_purpose_and_position():
    def draw(*key):
        return data_processing.stream(*key).integers(2**62)

    keys = [(0, "draw"), (1, "draw"), (0, "split"), (0, "noise", 1, 0), (0, "noise", 1, 1)]
    keys += [(0, "noise", 2, 0), (0, "shuffle", 1)]
    assert [draw(*key) for key in keys] == [draw(*key) for key in keys]
    assert len({draw(*key) for key in keys}) == len(keys)


def test_the_known_gaussian_is_the_one_that_the_data_set_was_drawn_from():
    gaussian = known.known_gaussian()
    mean, covariance = gaussian.mean, gaussian.covariance
    np.testing.assert_array_equal(covariance, covariance.T)
    x = load_table(known.DATA_FOLDER / "input_data.dat", 10)
    assert x.shape == (100, 10)
    white = np.linalg.solve(np.linalg.cholesky(covariance), (x - mean).T)
    assert kstest(white.ravel(), "norm").pvalue > 1e-3


def rows(*flags):
    """The rows of a run with these flags, and their known distribution."""
    return data_processing.get_rows(vae_main.parse_arguments(flags))


def test_rows_without_a_file_come_from_the_known_gaussian_and_the_seed():
    x, distribution = rows("--data_size", "7")
    again, other = (rows("--data_size", "7", "--seed", seed)[0] for seed in "01")
    assert x.shape == (7, 10)
    np.testing.assert_array_equal(x, again)
    assert not np.isin(x, other).any()
    np.testing.assert_array_equal(distribution.covariance, known.known_gaussian().covariance)
    np.testing.assert_array_equal(distribution.mean, known.known_gaussian().mean)


def test_a_split_uses_every_row_once_and_the_seed_chooses_which():
    train, held_out = data_processing.split(ROWS, 7, seed=0)
    assert (len(train), len(held_out)) == (7, 4)
    np.testing.assert_array_equal(np.unique(np.concatenate([train, held_out]), axis=0), ROWS)
    np.testing.assert_array_equal(train, data_processing.split(ROWS, 7, seed=0)[0])
    assert {tuple(r) for r in train} != {tuple(r) for r in data_processing.split(ROWS, 7, 1)[0]}
    assert {tuple(r) for r in train} != {tuple(r) for r in ROWS[:7]}


def test_four_fifths_of_the_rows_train_unless_told_otherwise():
    assert data_processing.training_size(11, None, keep_best=False) == 8
    assert data_processing.training_size(11, None, keep_best=True) == 7
    assert data_processing.training_size(11, 5, keep_best=True) == 5


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.integers(1, 60), st.data(), st.integers(1, 100))
def test_every_row_is_used_once_in_an_epoch(n_rows, data, chunk_numbers):
    batch_size = data.draw(st.integers(1, n_rows))
    batches = Batches(numbered(n_rows), batch_size, n_dim=2, seed=1, chunk_numbers=chunk_numbers)
    chunks = list(batches.chunks(epoch=1))
    np.testing.assert_array_equal(np.sort(used_rows(chunks)[:, 0]), batches.x[:, 0])
    assert sum(n_steps for _, _, n_steps in chunks) == batches.steps == -(-n_rows // batch_size)
    sizes = {x.shape[:2] for x, _, _ in chunks if x.shape[1] == batch_size}
    assert len(sizes) == 1  # one compiled form serves all full batches
    for x, epsilon, n_steps in chunks:
        assert 1 <= n_steps <= len(x)
        assert x.dtype == epsilon.dtype == np.float32
        assert (x.shape[2], epsilon.shape) == (3, (*x.shape[:2], 2))


def test_chunks_hold_about_the_numbers_they_should():
    chunks = list(Batches(numbered(39), 4, 2, seed=0, chunk_numbers=60).chunks(epoch=1))
    assert [x.shape[:2] for x, _, _ in chunks] == [(5, 4), (5, 4), (1, 3)]
    assert [n_steps for _, _, n_steps in chunks] == [5, 4, 1]
    assert Batches(numbered(39), 4, 2, seed=0, chunk_numbers=1).chunk_steps == 1


def test_shuffles_and_noise_differ_between_epochs_and_seeds_and_repeat():
    def epoch(number, seed):
        (x, epsilon, _), *_ = Batches(numbered(64), 16, 2, seed).chunks(number)
        return x[:, :, 0].ravel(), epsilon.ravel()

    for same, again in zip(epoch(1, 0), epoch(1, 0), strict=True):
        np.testing.assert_array_equal(same, again)
    for other in (epoch(2, 0), epoch(1, 1)):
        for here, there in zip(epoch(1, 0), other, strict=True):
            assert np.mean(here == there) < 0.2
    assert (epoch(1, 0)[0] != np.arange(64) * 3).mean() > 0.8


def test_noise_is_standard_normal_and_new_in_every_chunk():
    chunks = list(Batches(numbered(5000), 10, 2, seed=0, chunk_numbers=300).chunks(epoch=1))
    assert len(chunks) == 50
    noise = np.concatenate([epsilon.ravel() for _, epsilon, _ in chunks])
    assert len(np.unique(noise)) > 0.99 * noise.size
    assert kstest(noise, "norm").pvalue > 1e-3


def test_batches_hold_several_draws_of_noise_for_each_row():
    batches = data_processing.Batches(np.zeros((11, 3), np.float32), 4, 2, seed=0, n_samples=5)
    shapes = [(x.shape, epsilon.shape, n) for x, epsilon, n in batches.chunks(1)]
    assert shapes == [((2, 4, 3), (2, 5, 4, 2), 2), ((1, 3, 3), (1, 5, 3, 2), 1)]
    values = np.concatenate([epsilon.ravel() for _, epsilon, _ in batches.chunks(1)])
    assert len(np.unique(values)) == 11 * 5 * 2


def test_the_next_item_is_made_while_the_caller_works_on_one():
    made = [threading.Event() for _ in range(3)]

    def items():
        for k in range(3):
            made[k].set()
            yield k

    for k in prefetched(items()):
        if k < 2:
            assert made[k + 1].wait(timeout=10)


def test_a_caller_that_leaves_early_leaves_no_thread():
    before = threading.active_count()
    chunks = Batches(np.zeros((40, 3), np.float32), 4, 2, seed=0).chunks(1)
    next(chunks)
    chunks.close()
    assert threading.active_count() == before
