"""Rows that stay in their .npy file: reading, split, shuffle; runs and scripts on such a file."""

import os
import signal
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

import beta_vae_after_training
import beta_vae_main
import data_processing
import figures
import gaussian_report
import large_data
import training
import vae_decoder_sample_generation
import vae_main
from data_processing import Batches, get_rows, prefetched
from large_data import LargeTable, TrainingRows
from table_files import InputError
from vae_models import load_model, reconstruct

EVERY_NUMBER_TYPE = ["f4", "f8", "f2", ">f4", ">f8", "i1", "u2", ">i4", "u8"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Every .npy file is large; blocks of 4 rows of 3 numbers, 5 blocks in a buffer."""
    monkeypatch.setattr(large_data, "LARGE_BYTES", 0)
    monkeypatch.setattr(large_data, "BLOCK_BYTES", 50)
    monkeypatch.setattr(large_data, "BUFFER_BLOCKS", 5)


@pytest.fixture
def numbered(tmp_path):
    """numbered(n): a LargeTable of the rows (k, -k, 0.5), k from 0 to n - 1."""

    def call(n_rows):
        k = np.arange(n_rows, dtype=np.float32)
        np.save(tmp_path / "x.npy", np.stack([k, -k, np.full_like(k, 0.5)], axis=1))
        return LargeTable(tmp_path / "x.npy")

    return call


@pytest.fixture(scope="module")
def gaussian_file(tmp_path_factory):
    """50 rows of 3 correlated numbers."""
    path = tmp_path_factory.mktemp("large") / "x.npy"
    rng = np.random.default_rng(0)
    np.save(path, np.float32(rng.normal(size=(50, 3)) @ rng.normal(size=(3, 3)) + 1.0))
    return str(path)


def get_data(path, data_size, training_data_size, standardize=False):
    """The data of a run with these flags."""
    settings = {"data_path": path, "data_size": data_size, "data_dim": 3, "seed": 0}
    settings |= {"training_data_size": training_data_size, "standardize": standardize}
    return data_processing.get_data(settings)


def order_of(rows, epoch):
    """The numbers of the rows in the order of an epoch."""
    return next(rows.shuffled(epoch, [0, len(rows)]))[:, 0].astype(int)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", EVERY_NUMBER_TYPE)
def test_slices_of_a_file_are_its_rows_as_float32(tmp_path, dtype, order):
    values = np.asarray(np.random.default_rng(0).integers(0, 99, (11, 3)), dtype, order=order)
    np.save(tmp_path / "x.npy", values)
    table, cut = LargeTable(tmp_path / "x.npy"), LargeTable(tmp_path / "x.npy", 3, data_size=7)
    for rows in (slice(None), slice(2, 9), slice(5, 6), slice(8, 100), slice(11, 20)):
        assert table[rows].dtype == np.float32
        np.testing.assert_array_equal(table[rows], values[rows])
        np.testing.assert_array_equal(cut[rows], values[:7][rows])
    assert (table.shape, cut.shape) == ((11, 3), (7, 3))
    np.testing.assert_array_equal(np.concatenate(list(table.checked_blocks())), values)


def test_only_many_rows_of_an_npy_file_stay_in_it(tmp_path, monkeypatch):
    values = np.arange(36, dtype=np.int16).reshape(12, 3)
    np.save(tmp_path / "x.npy", values)
    np.savetxt(tmp_path / "x.dat", values)
    monkeypatch.setattr(large_data, "LARGE_BYTES", 4 * 10 * 3)
    for path, size in [("x.npy", 10), ("x.npy", 2), ("x.dat", 12)]:
        x, _, _ = get_rows(tmp_path / path, size, 3, seed=0)
        assert isinstance(x, np.ndarray)
        np.testing.assert_array_equal(x, values[:size])
    for size in (11, 12, None):
        x, _, _ = get_rows(tmp_path / "x.npy", size, 3, seed=0)
        assert isinstance(x, LargeTable)
        assert len(x) == (size or 12)


def test_a_file_that_is_no_table_is_refused_as_a_small_one_is(tmp_path, monkeypatch):
    path, damaged = tmp_path / "x.npy", []
    for array in (np.zeros(3), np.zeros((0, 3)), np.zeros((2, 3), complex), np.array([[None]])):
        np.save(path, array, allow_pickle=True)
        damaged.append(path.read_bytes())
    np.save(path, np.zeros((2, 7)))
    whole = path.read_bytes()
    damaged += [whole, whole[:-1], whole + b"\0", whole[:50], b"", whole.replace(b"(2,", b"(9,")]
    for content in damaged:
        path.write_bytes(content)
        refusals = []
        for limit in (0, 2**29):
            monkeypatch.setattr(large_data, "LARGE_BYTES", limit)
            with pytest.raises(InputError) as refused:
                get_rows(path, None, 3, seed=0)
            refusals.append(str(refused.value))
        assert refusals[0] == refusals[1]


@pytest.mark.parametrize("order", ["C", "F"])
def test_values_that_are_not_finite_are_counted_and_the_first_row_is_named(tmp_path, order):
    x = np.ones((23, 3), order=order)
    x[9, 2], x[17, 0], x[17, 1] = 1e39, np.nan, -np.inf
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(InputError, match="x.npy: has 3 values .* first at row 10, column 3"):
        get_data(tmp_path / "x.npy", 23, None)
    get_data(tmp_path / "x.npy", 9, None)  # of the rows that are used all are finite


def test_one_line_on_stderr_says_that_a_large_file_is_not_finite(tmp_path, refused):
    np.save(tmp_path / "x.npy", np.full((23, 3), np.nan))
    argv = ["--data_path", tmp_path / "x.npy", "--data_dim", 3, "--output_dir", tmp_path / "out"]
    assert "x.npy: has 69 values that are NaN" in refused(vae_main.main, argv)


@pytest.mark.parametrize("n_train", [2, 3, 17, 40, 55, 56])
def test_the_split_has_the_size_asked_for_and_every_row_once(numbered, n_train):
    table = numbered(58)
    rows = TrainingRows(table, n_train, seed=3)
    parts = [rows.split(k, table.block(k)) for k in range(table.n_blocks)]
    train, held_out = (np.concatenate(part)[:, 0] for part in zip(*parts, strict=True))
    assert (len(train), len(held_out)) == (n_train, 58 - n_train)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), np.arange(58))
    np.testing.assert_array_equal(np.sort(order_of(rows, 1)), np.sort(train))
    np.testing.assert_array_equal(np.sort(rows.held_out[:, 0]), np.sort(held_out))
    np.testing.assert_array_equal(np.sort(rows.sample[:, 0]), np.sort(train))


def test_sizes_outside_the_rows_of_the_file_are_refused(numbered):
    for size in (0, 1, 10, 11):
        with pytest.raises(InputError, match=f"--training_data_size {size}: of 11 rows"):
            get_data(numbered(11).path, 100, size)
    assert len(get_data(numbered(11).path, 100, None).x_train) == 8


def test_every_row_is_held_out_equally_often_and_every_part_of_the_file_alike(numbered):
    table, counts, n_seeds = numbered(62), np.zeros(62), 400
    rows = TrainingRows(table, 45, seed=0)
    for seed in range(n_seeds):
        rows.seed, rows.phase = seed, np.random.default_rng(seed).random()
        held_out = [rows.split(k, table.block(k))[1][:, 0] for k in range(table.n_blocks)]
        assert all(abs(len(part) - 4 * 17 / 62) <= 1 for part in held_out[:-1])
        counts[np.concatenate(held_out).astype(int)] += 1
    p = 17 / 62
    z = (counts - n_seeds * p) / np.sqrt(n_seeds * p * (1 - p))
    assert chi2.sf(np.sum(z**2), 62) > 1e-3
    assert np.abs(z).max() < 4.5


def test_samples_are_random_rows_of_their_part_from_the_whole_file(numbered, monkeypatch):
    monkeypatch.setattr(large_data, "SAMPLE_ROWS", 150)
    rows = TrainingRows(numbered(3000), 2000, seed=1)
    train = set(order_of(rows, 1))
    for sample, inside in [(rows.sample[:, 0], True), (rows.held_out[:, 0], False)]:
        assert len(sample) == len(set(sample)) == 150
        assert all((k in train) == inside for k in sample)
        assert kstest(sample / 3000, "uniform").pvalue > 1e-3
        assert kstest(sample[:50] / 3000, "uniform").pvalue > 1e-3  # in random order
        assert abs(np.mean(sample % 4) - 1.5) < 4 * np.sqrt(1.25 / 150)  # from anywhere in a block
    assert large_data.SAMPLE_ROWS < gaussian_report.REPORT_ROWS
    monkeypatch.undo()
    assert large_data.SAMPLE_ROWS >= gaussian_report.REPORT_ROWS


def test_mean_and_covariance_are_those_of_the_training_rows(tmp_path):
    x = np.float32(np.random.default_rng(0).normal(size=(90, 3)) + [1e4, 0, 5])
    x[:, 2] = 5.1
    np.save(tmp_path / "x.npy", x)
    data = get_data(tmp_path / "x.npy", 90, 70, standardize=True)
    rows = np.float64(next(data.x_train.shuffled(1, [0, 70])))
    mean, covariance = data.reference()
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(rows, rowvar=False), rtol=1e-9, atol=1e-12)
    assert (covariance[2] == 0).all()  # a constant column, exactly
    assert data.standardization["mean"] == pytest.approx(rows.mean(axis=0))
    assert data.standardization["std"] == pytest.approx([*rows.std(axis=0, ddof=1)[:2], 1.0])


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(4, 80), st.data(), st.integers(1, 100))
def test_every_training_row_is_used_once_in_an_epoch(tmp_path_factory, n_rows, data, numbers):
    path = tmp_path_factory.mktemp("x") / "x.npy"
    np.save(path, np.arange(3 * n_rows, dtype=np.float32).reshape(n_rows, 3))
    n_train = data.draw(st.integers(2, n_rows - 2))
    x_train = TrainingRows(LargeTable(path), n_train, seed=1)
    batches = Batches(x_train, data.draw(st.integers(1, n_train)), 2, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_processing, "CHUNK_NUMBERS", numbers)
        chunks = list(batches.chunks(epoch=1))
        in_memory = list(Batches(x_train.sample, batches.batch_size, 2, seed=1).chunks(epoch=1))
    used = np.concatenate([x[:n].reshape(-1, 3) for x, _, n in chunks])
    np.testing.assert_array_equal(np.sort(used, axis=0), np.sort(x_train.sample, axis=0))
    for chunk, other in zip(chunks, in_memory, strict=True):  # same forms, and the same noise
        assert (chunk[0].shape, chunk[2]) == (other[0].shape, other[2])
        np.testing.assert_array_equal(chunk[1], other[1])


def test_a_row_lands_anywhere_in_the_epoch_with_equal_probability(numbered):
    """One row of each block by fifths of the epoch, beside the same counts of permutations."""
    rows = TrainingRows(numbered(60), 50, seed=0)  # 15 blocks, 3 buffers
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


def test_neighbours_in_an_epoch_are_as_far_apart_as_in_a_full_permutation(numbered, monkeypatch):
    monkeypatch.setattr(large_data, "BUFFER_BLOCKS", 50)
    rows = TrainingRows(numbered(800), 798, seed=0)  # four buffers of 200 rows, a file in order
    orders = [order_of(rows, epoch).astype(float) for epoch in range(20)]
    correlations = [np.corrcoef(order[:-1], order[1:])[0, 1] for order in orders]
    # Independent places: mean about 0, std 1 / sqrt(798) in each epoch. Rows of a buffer share the
    # mean of its 50 blocks, whose variance is 1 / 50 of that of a row: a correlation below 1 / 50.
    assert abs(np.mean(correlations)) < 1 / 50 + 3 / np.sqrt(20 * 798)
    assert np.std(correlations) < 2 / np.sqrt(798)
    gaps = np.abs(np.diff(orders))
    assert np.mean(gaps) == pytest.approx(800 / 3, rel=0.05)


def test_the_rows_of_a_block_come_within_one_buffer_and_buffers_are_new_in_every_epoch(numbered):
    rows = TrainingRows(numbered(160), 160, seed=0)  # 40 blocks, 8 buffers
    together = []
    for epoch in (1, 2):
        order = order_of(rows, epoch)
        blocks = [set(part // 4) for part in np.split(order, 8)]
        assert set(map(len, blocks)) == {5}
        together.append({frozenset(block) for block in blocks})
    assert not together[0] & together[1]


def test_orders_repeat_with_the_seed_and_differ_between_seeds_and_epochs(numbered):
    table = numbered(60)
    orders = [
        tuple(order_of(TrainingRows(table, 50, seed), epoch))
        for seed, epoch in [(0, 1), (0, 1), (0, 2), (1, 1)]
    ]
    assert orders[0] == orders[1]
    assert len(set(orders)) == 3


def test_chunks_from_the_kth_on_are_the_same_and_read_nothing_that_came_before(
    numbered, monkeypatch
):
    monkeypatch.setattr(data_processing, "CHUNK_NUMBERS", 30)
    batches = Batches(TrainingRows(numbered(101), 95, seed=0), 4, 2, seed=0)
    every = list(batches.chunks(epoch=3))
    read, numbers_read = LargeTable.numbers, []
    monkeypatch.setattr(
        LargeTable, "numbers", lambda *args: numbers_read.append(args[2]) or read(*args)
    )
    assert len(every) == 13
    for k in range(14):
        numbers_read.clear()
        late = list(batches.chunks(epoch=3, first=k))
        assert len(late) == 13 - k
        for (x, epsilon, n), (late_x, late_epsilon, late_n) in zip(every[k:], late, strict=True):
            np.testing.assert_array_equal(x, late_x)
            np.testing.assert_array_equal(epsilon, late_epsilon)
            assert n == late_n
        # each buffer of at most 5 blocks that has a row to come, once
        assert sum(numbers_read) <= 3 * (101 - 8 * k + 8 + 20)
    assert not numbers_read


def test_no_more_than_a_buffer_is_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(large_data, "BLOCK_BYTES", 2**15)
    monkeypatch.setattr(large_data, "BUFFER_BLOCKS", 2**4)  # half a MiB
    monkeypatch.setattr(large_data, "SAMPLE_ROWS", 100)
    np.save(tmp_path / "x.npy", np.zeros((2**18, 8), np.float32))  # 8 MiB
    tracemalloc.start()
    rows = TrainingRows(LargeTable(tmp_path / "x.npy"), 2**18 - 20, seed=0)
    for _ in rows.shuffled(1, range(0, len(rows), 1000)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21


def test_a_file_that_shrinks_ends_in_an_error_with_its_name(numbered):
    table = numbered(40)
    os.truncate(table.path, 300)
    with pytest.raises(OSError, match="shortened.*x.npy"):
        table[20:40]


def test_a_file_that_is_replaced_or_deleted_is_read_on(numbered):
    table = numbered(7)
    table.path.unlink()
    np.testing.assert_array_equal(table[:][:, 0], np.arange(7))


def test_the_next_item_is_made_while_the_caller_works_on_one():
    made = [threading.Event() for _ in range(3)]

    def items():
        for k in range(3):
            made[k].set()
            yield k

    for k in prefetched(items()):
        if k < 2:
            assert made[k + 1].wait(timeout=10)


def test_an_error_of_the_thread_reaches_the_caller_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise OSError(5, "Input/output error", "x.npy")

    seen = []
    with pytest.raises(OSError, match="Input/output error"):
        seen.extend(prefetched(items()))
    assert seen == [1, 2]


def test_a_caller_that_leaves_early_leaves_no_thread():
    before = threading.active_count()
    chunks = Batches(np.zeros((40, 3), np.float32), 4, 2, seed=0).chunks(1)
    next(chunks)
    chunks.close()
    assert threading.active_count() == before


def flags_of(path, folder):
    return (
        f"--data_path {path} --data_dim 3 --n_width 5 --batch_size 4 --training_data_size 30 "
        f"--n_epoch 2 --lr 0.02 --seed 7 --output_dir {folder}"
    ).split()


@pytest.fixture
def quick(monkeypatch, plain_steps):
    """Runs without compiling and without pictures, several chunks an epoch."""
    monkeypatch.setattr(gaussian_report, "draw_figures", lambda *_: None)
    monkeypatch.setattr(figures, "marginals", lambda *_: None)
    monkeypatch.setattr(figures, "latent_traversal", lambda *_: None)
    monkeypatch.setattr(gaussian_report, "COVARIANCE_SAMPLES", 2000)
    monkeypatch.setattr(data_processing, "CHUNK_NUMBERS", 30)


def test_a_run_from_a_large_file_is_interrupted_and_resumed_to_the_same_bits(
    quick, gaussian_file, tmp_path, monkeypatch, weights, history, ends
):
    monkeypatch.setattr(gaussian_report, "finish", lambda run, *_, **__: run.write_results("c.dat"))
    monkeypatch.setattr(gaussian_report, "print_report", lambda *_: None)
    vae_main.main(flags_of(gaussian_file, tmp_path / "whole"))
    add = training.Run.add

    def interrupted_add(run, *args, **kwargs):
        if (run.position.epoch, run.position.chunk) == (2, 3):
            os.kill(os.getpid(), signal.SIGINT)
        add(run, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(training.Run, "add", interrupted_add)
        status, lines = ends(vae_main.main, flags_of(gaussian_file, tmp_path / "out"))
    assert status == 130
    assert len(lines) == 1
    assert "stopped in epoch 2, all work is saved" in lines[0]
    vae_main.main([*flags_of(gaussian_file, tmp_path / "out"), "--resume"])
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert history(tmp_path / "out") == history(tmp_path / "whole")


def test_a_read_error_in_the_thread_ends_the_run_with_one_line(
    quick, gaussian_file, tmp_path, monkeypatch, ends
):
    def fails(self, blocks, n_rows):
        raise OSError(5, "Input/output error", "x.npy")

    monkeypatch.setattr(TrainingRows, "read", fails)
    status, lines = ends(vae_main.main, flags_of(gaussian_file, tmp_path / "out"))
    assert status == 1
    assert len(lines) == 1
    assert "x.npy: Input/output error" in lines[0]


def test_the_scripts_after_training_work_on_a_large_file_by_blocks(
    quick, gaussian_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(large_data, "SAMPLE_ROWS", 20)
    monkeypatch.setattr("vae_models.GENERATED_AT_ONCE", 16)
    folder = tmp_path / "out"
    beta_vae_main.main([*flags_of(gaussian_file, folder), "--beta", "1"])
    model, x = load_model(folder)[0], np.load(gaussian_file)
    argv = ["--model_dir", str(folder), "--n_samples", "30", "--seed", "3"]
    for more in (["--format", "npy"], ["--data_path", gaussian_file]):
        capsys.readouterr()
        beta_vae_after_training.main([*argv, *more])
        shown = capsys.readouterr().out
        assert "50 rows are being written" in shown
        assert "20 of them" in shown
    for rows in (np.load(folder / "en_deco_data.npy"), np.loadtxt(folder / "en_deco_data.dat")):
        np.testing.assert_allclose(rows, reconstruct(model, x, 3), rtol=1e-6)
    argv += ["--output", str(tmp_path / "y.npy")]
    vae_decoder_sample_generation.main(argv)
    assert np.load(tmp_path / "y.npy").shape == (30, 3)


def test_a_large_file_is_announced_once_on_stdout(numbered, capsys):
    get_data(numbered(40).path, 40, None)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 1
    assert "x.npy: large" in shown[0]
