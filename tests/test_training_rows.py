"""The training rows of a large file: split, samples, and the order of an epoch."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from analysis.evaluation import REPORT_ROWS
from data_processing import Batches
from training import large_data
from training.large_data import TrainingRows

pytestmark = pytest.mark.usefixtures("small_blocks")


def numbered(folder, n_rows):
    """A mapped file of the rows (k, -k, 0.5), k from 0 to n_rows - 1."""
    k = np.arange(n_rows, dtype=np.float32)
    np.save(folder / "x.npy", np.stack([k, -k, np.full_like(k, 0.5)], axis=1))
    return np.load(folder / "x.npy", mmap_mode="r")


def order_of(rows, epoch):
    """The numbers of the rows in the order of an epoch."""
    return next(rows.shuffled(epoch, [0, len(rows)]))[:, 0].astype(int)


@pytest.mark.parametrize("n_train", [2, 3, 17, 40, 55, 56])
def test_the_split_has_the_size_asked_for_and_every_row_once(tmp_path, n_train):
    rows = TrainingRows(numbered(tmp_path, 58), n_train, seed=3)
    parts = [rows.split(k, rows.read(k)) for k in range(len(rows.train_sizes))]
    train, held_out = (np.concatenate(part)[:, 0] for part in zip(*parts, strict=True))
    assert (len(train), len(held_out)) == (n_train, 58 - n_train)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), np.arange(58))
    np.testing.assert_array_equal(np.sort(order_of(rows, 1)), np.sort(train))
    np.testing.assert_array_equal(np.sort(rows.held_out[:, 0]), np.sort(held_out))
    np.testing.assert_array_equal(np.sort(rows.sample[:, 0]), np.sort(train))


def test_every_row_is_held_out_equally_often_and_every_part_of_the_file_alike(tmp_path):
    table, counts, n_seeds = numbered(tmp_path, 62), np.zeros(62), 400
    for seed in range(n_seeds):
        rows = TrainingRows(table, 45, seed)
        held_out = [rows.split(k, rows.read(k))[1][:, 0] for k in range(len(rows.train_sizes))]
        assert all(abs(len(part) - 4 * 17 / 62) <= 1 for part in held_out[:-1])
        counts[np.concatenate(held_out).astype(int)] += 1
    p = 17 / 62
    z = (counts - n_seeds * p) / np.sqrt(n_seeds * p * (1 - p))
    assert chi2.sf(np.sum(z**2), 62) > 1e-3
    assert np.abs(z).max() < 4.5


def test_samples_are_random_rows_of_their_part_from_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(large_data, "SAMPLE_ROWS", 150)
    rows = TrainingRows(numbered(tmp_path, 3000), 2000, seed=1)
    train = set(order_of(rows, 1))
    for sample, inside in [(rows.sample[:, 0], True), (rows.held_out[:, 0], False)]:
        assert len(sample) == len(set(sample)) == 150
        assert all((k in train) == inside for k in sample)
        assert kstest(sample / 3000, "uniform").pvalue > 1e-3
        assert kstest(sample[:50] / 3000, "uniform").pvalue > 1e-3  # in random order
        assert abs(np.mean(sample % 4) - 1.5) < 4 * np.sqrt(1.25 / 150)  # from anywhere in a block
    monkeypatch.undo()
    assert large_data.SAMPLE_ROWS >= REPORT_ROWS


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(4, 80), st.data(), st.integers(1, 100))
def test_every_training_row_is_used_once_in_an_epoch(tmp_path_factory, n_rows, data, numbers):
    table = numbered(tmp_path_factory.mktemp("x"), n_rows)
    n_train = data.draw(st.integers(2, n_rows - 2))
    x_train = TrainingRows(table, n_train, seed=1)
    sizes = {"batch_size": data.draw(st.integers(1, n_train)), "n_dim": 2}
    chunks = list(Batches(x_train, **sizes, seed=1, chunk_numbers=numbers).chunks(epoch=1))
    in_memory = Batches(x_train.sample, **sizes, seed=1, chunk_numbers=numbers)
    in_memory = list(in_memory.chunks(epoch=1))
    used = np.concatenate([x[:n].reshape(-1, 3) for x, _, n in chunks])
    np.testing.assert_array_equal(np.sort(used, axis=0), np.sort(x_train.sample, axis=0))
    for chunk, other in zip(chunks, in_memory, strict=True):  # same forms, and the same noise
        assert (chunk[0].shape, chunk[2]) == (other[0].shape, other[2])
        np.testing.assert_array_equal(chunk[1], other[1])


def test_a_row_lands_anywhere_in_the_epoch_with_equal_probability(tmp_path):
    """How often one row of each block lands in each fifth, in our order and in permutations."""
    rows = TrainingRows(numbered(tmp_path, 60), 50, seed=0)  # 15 blocks, 3 buffers
    train = np.sort(order_of(rows, 0))
    one_of_a_block = train[np.unique(train // 4, return_index=True)[1]]
    n_epochs, fifth = 600, np.repeat(np.arange(5), 10)
    counts, rng = np.zeros((2, 60, 5)), np.random.default_rng(0)
    for epoch in range(n_epochs):
        for count, order in zip(
            counts, (order_of(rows, epoch), rng.permutation(train)), strict=True
        ):
            count[order, fifth] += 1
    expected = n_epochs / 5
    for count in counts[:, one_of_a_block]:
        statistic = np.sum((count - expected) ** 2) / expected
        assert chi2.sf(statistic, 15 * 4) > 1e-3
        assert chi2.cdf(statistic, 15 * 4) > 1e-3


def test_orders_repeat_with_the_seed_and_differ_between_seeds_and_epochs(tmp_path):
    table = numbered(tmp_path, 60)
    orders = [
        tuple(order_of(TrainingRows(table, 50, seed), epoch))
        for seed, epoch in [(0, 1), (0, 1), (0, 2), (1, 1)]
    ]
    assert orders[0] == orders[1]
    assert len(set(orders)) == 3


def test_chunks_from_the_kth_on_are_the_same_and_read_nothing_that_came_before(
    tmp_path, monkeypatch
):
    x_train = TrainingRows(numbered(tmp_path, 101), 95, seed=0)
    batches = Batches(x_train, 4, 2, seed=0, chunk_numbers=30)
    every = list(batches.chunks(epoch=3))
    read, blocks_read = TrainingRows.read, []
    monkeypatch.setattr(
        TrainingRows, "read", lambda rows, block: blocks_read.append(block) or read(rows, block)
    )
    assert len(every) == 13
    for k in range(14):
        blocks_read.clear()
        late = list(batches.chunks(epoch=3, first=k))
        np.testing.assert_equal(late, every[k:])
        # each buffer of at most 5 blocks that has a row to come, once
        assert len(set(blocks_read)) == len(blocks_read) <= (101 - 8 * k + 8) // 4 + 5
    assert not blocks_read


def test_no_more_than_two_buffers_are_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(large_data, "BLOCK_BYTES", 2**15)
    monkeypatch.setattr(large_data, "BUFFER_BLOCKS", 2**4)  # half a MiB
    monkeypatch.setattr(large_data, "SAMPLE_ROWS", 100)
    np.save(tmp_path / "x.npy", np.zeros((2**18, 8), np.float32))  # 8 MiB
    tracemalloc.start()
    rows = TrainingRows(np.load(tmp_path / "x.npy", mmap_mode="r"), 2**18 - 20, seed=0)
    for _ in rows.shuffled(1, range(0, len(rows), 1000)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21
