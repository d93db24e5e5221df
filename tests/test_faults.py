"""A full disk, a lost folder, a killed process, hostile files: nothing that was saved is lost.

docs/developers/reliability.md lists what is promised, and the other tests of it.
"""

import contextlib
import json
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers import FEW_STEPS, ROOT, SMALL, contents, history, weights

import beta_sweep
import beta_vae_after_training
import mnist_vae_after_training
import mnist_vae_main
import vae_decoder_sample_generation
import vae_main
import vae_models
from analysis import evaluation, figure_style
from images import data as image_data
from images import models as image_models
from training import command_line, run_folder, saved_model, tables
from training import run as run_module
from training.errors import InputError
from training.settings import as_dictionary, make_image_settings

pytestmark = pytest.mark.usefixtures("uncompiled")
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX: limits, locks, signals")
WRITERS = (run_folder, figure_style, tables)  # the modules with a name `atomic_write`


def half_written(folder):
    return [path for path in folder.rglob(".*") if path.name != ".lock"]


@contextlib.contextmanager
def full_disk(place):
    """The disk holds ten bytes of one file: that of this name, or the k-th that is written."""
    import resource

    atomic_write = run_folder.atomic_write
    written = []
    room, most = resource.getrlimit(resource.RLIMIT_FSIZE)

    @contextlib.contextmanager
    def limited(path):
        written.append(path)
        with atomic_write(path) as temporary:
            if place in (len(written), Path(path).name):
                resource.setrlimit(resource.RLIMIT_FSIZE, (10, most))
            try:
                yield temporary
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))

    with pytest.MonkeyPatch.context() as patch:
        for module in WRITERS:
            patch.setattr(module, "atomic_write", limited)
        yield


@posix
def test_a_disk_that_is_full_at_any_file_stops_the_run_which_then_goes_on(
    train, ends, vae_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(run_module, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(run_module, "SECONDS_BETWEEN_EPOCH_CHECKPOINTS", 0.0)
    folder = tmp_path / "run"

    def run(flags):
        train(vae_main.main, *flags, folder=folder)

    for place, flags, said in [
        (5, [], "the checkpoint of epoch 2 can't be written"),
        ("Decoder_b6.dat", ["--resume"], "Decoder_b6.dat: File too large"),
        ("report.json", ["--resume"], "report.json: File too large"),
    ]:
        with full_disk(place):
            status, lines = ends(run, flags)
        assert (status, len(lines)) == (1, 1)
        assert said in lines[0] and str(folder) in lines[0]
        assert not list(folder.rglob(str(place))) and not half_written(folder)
        assert len(list((folder / "checkpoint").glob("*.npz"))) == 3
    assert saved_model.load_model(folder, vae_models.make_model)
    run(["--resume"])
    assert (folder / "report.json").exists()
    assert weights(folder) == weights(vae_run)
    assert history(folder) == history(vae_run)


@posix
@pytest.mark.parametrize(
    ("module", "name"), [(evaluation, "followed_elbo"), (saved_model, "write_weights")]
)
def test_a_folder_that_is_removed_during_the_run_ends_it_with_one_line(
    train, ends, tmp_path, monkeypatch, module, name
):
    folder = tmp_path / "run"

    def remove_folder(*_):
        shutil.rmtree(folder, ignore_errors=True)
        return 0.0

    monkeypatch.setattr(module, name, remove_folder)
    status, lines = ends(lambda _: train(vae_main.main, *FEW_STEPS, folder=folder), [])
    assert (status, len(lines)) == (1, 1)
    assert str(folder) in lines[0] and not folder.exists()


HOLD = """
import filelock, sys
lock = filelock.FileLock(sys.argv[1])
lock.acquire()
print(flush=True)
input()
"""


@posix
def test_a_folder_that_another_process_holds_is_refused_until_that_is_killed(
    train, refused, vae_run, data_file, tmp_path
):
    folder = Path(shutil.copytree(vae_run, tmp_path / "run"))
    (folder / "report.json").unlink()
    (folder / ".12.history.csv").write_text("epoch,")  # what a killed process was writing
    command = [sys.executable, "-c", HOLD, str(folder / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        argv = [*SMALL, "--data_path", data_file, "--output_dir", folder, "--resume"]
        assert "another run is writing to it" in refused(vae_main.main, argv)
        holder.kill()
    train(vae_main.main, "--resume", folder=folder)
    assert (folder / "report.json").exists() and not half_written(folder)


KILLED = {  # what is killed, and its flags
    vae_main: "--data_size 200 --batch_size 20 --n_width 8 --n_epoch 6",
    beta_sweep: "--data_size 200 --batch_size 20 --n_width 8 --n_epoch 3 --beta 1 4",
    mnist_vae_main: "--data_path data/mnist_sample.npz --batch_size 250 --n_width 8 --n_epoch 3",
}


def run_until(main, argv, progress, number, moment):
    """In a process of its own: run a script until it gets the signal of this number.

    moment: so many seconds after its start (a float), while its k-th file is written (an integer),
    or None. progress: becomes the number of files written, and the seconds of the whole run.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.chdir(ROOT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    run_module.SECONDS_BETWEEN_CHECKPOINTS = run_module.SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 0.0
    tf.config.run_functions_eagerly(True)
    atomic_write, begin = run_folder.atomic_write, time.monotonic()

    @contextlib.contextmanager
    def counted(path):
        progress[0] += 1
        with atomic_write(path) as temporary:
            yield temporary
            if progress[0] == moment:
                os.kill(os.getpid(), number)

    for module in WRITERS:
        module.atomic_write = counted
    if isinstance(moment, float):
        timer = threading.Timer(moment, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()
    command_line.run(lambda: main(argv))
    progress[1] = time.monotonic() - begin


def results(folder):
    """What a run left, times aside: file name -> content; of checkpoints how many there are."""
    found = contents(folder)
    checkpoints = [name for name in found if name.endswith(".npz") and "checkpoint" in name]
    found["checkpoints"] = len([found.pop(name) for name in checkpoints])
    for path in folder.rglob("history.csv"):
        found[str(path.relative_to(folder))] = history(path.parent)
    for path in folder.rglob("report.json"):
        report = json.loads(path.read_text())
        found[str(path.relative_to(folder))] = {**report, "seconds": None}
    return found


@posix
@pytest.mark.slow
@pytest.mark.parametrize("script", KILLED, ids=lambda script: script.__name__)
def test_a_run_killed_again_and_again_ends_as_an_undisturbed_one(script, tmp_path, monkeypatch):
    """Each script is killed 6 times, or KILLS times (environment), half of them at a random moment,
    half while a file is being written; a run is killed up to three times before it may end.
    """
    statuses = {  # a signal may arrive before or after the run handles signals itself
        signal.SIGKILL: {-signal.SIGKILL},
        signal.SIGTERM: {-signal.SIGTERM, 128 + signal.SIGTERM},
        signal.SIGINT: {128 + signal.SIGINT},
    }
    n_kills, rng = int(os.environ.get("KILLS", "6")), random.Random(0)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_faults"])  # the imports take longer than a run

    def run(folder, *more, number=None, moment=None):
        progress = context.RawArray("d", 2)
        argv = ["--output_dir", str(folder), *KILLED[script].split(), *more]
        process = context.Process(
            target=run_until, args=[script.main, argv, progress, number, moment]
        )
        process.start()
        process.join()
        return process.exitcode, *progress

    status, n_written, seconds = run(tmp_path / "whole")
    assert status == 0
    expected = results(tmp_path / "whole")
    for k in range(n_kills // 3):
        folder, resume = tmp_path / f"killed_{k}", []
        for moment in (rng.uniform(0, seconds), rng.randint(1, int(n_written)), rng.randint(1, 5)):
            number = rng.choice(list(statuses))
            status, *_ = run(folder, *resume, number=number, moment=moment)
            assert status in {0} | statuses[number], (number, moment)
            resume = ["--resume"]
        assert run(folder, *resume)[0] == 0
        assert results(folder) == expected


AFTER_TRAINING = {  # script: its flags, and a file that it writes
    vae_decoder_sample_generation: (["--n_samples", "30"], "decoder_data.dat"),
    beta_vae_after_training: (["--n_samples", "30"], "en_deco_data.dat"),
    mnist_vae_after_training: (["--n_importance", "3"], "images.npz"),
}
STRINGS = (  # of which some are in no config.json
    "model data_path covariance_path mean_path decoder_std likelihood activation binarization "
    "lr_schedule optimizer output_dir folder name"
).split()


def write_image_run(folder):
    """An untrained model of images in this folder, and the images in x.npz beside it."""
    x, y = np.arange(800, dtype=np.uint8).reshape(40, 5, 4), np.arange(40) % 3
    np.savez(folder.parent / "x.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    args = mnist_vae_main.parse_arguments("--data_path x.npz --n_width 6".split())
    images = image_data.get_images(args.data_path, args.binarization, args.seed)
    settings = make_image_settings(args, images)
    folder.mkdir()
    saved_model.write_weights(image_models.make_model(settings), folder)
    run_folder.write_json(folder / "config.json", as_dictionary(settings))


@pytest.fixture
def model_folder(tmp_path, run_copy, monkeypatch):
    """model_folder(script): tmp_path / "run" with a model that the script works on; its flags."""
    monkeypatch.chdir(tmp_path)

    def call(script):
        if script is mnist_vae_after_training:
            write_image_run(tmp_path / "run")
        else:
            run_copy()
        return ["--model_dir", str(tmp_path / "run"), *AFTER_TRAINING[script][0]]

    return call


@posix
@pytest.mark.parametrize("script", AFTER_TRAINING, ids=lambda script: script.__name__)
def test_a_disk_that_is_full_after_training_leaves_no_half_file(
    ends, model_folder, script, tmp_path
):
    name, argv = AFTER_TRAINING[script][1], model_folder(script)
    with full_disk(name):
        status, lines = ends(script.main, argv)
    assert (status, len(lines)) == (1, 1)
    assert f"{tmp_path / 'run' / name}: File too large" in lines[0]
    assert not (tmp_path / "run" / name).exists() and not half_written(tmp_path)


@pytest.mark.parametrize("script", AFTER_TRAINING, ids=lambda script: script.__name__)
def test_no_string_in_a_config_leads_a_script_out_of_its_folder(
    model_folder, script, tmp_path, monkeypatch
):
    argv = model_folder(script)
    config = tmp_path / "run" / "config.json"
    sound = json.loads(config.read_text())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.dat").write_text("1 2 3")
    monkeypatch.chdir(tmp_path / "other")  # from where, too, "../made" lies in tmp_path

    def outside():
        return {name: c for name, c in contents(tmp_path).items() if not name.startswith("run")}

    before = outside()
    config.write_text(json.dumps(dict.fromkeys(STRINGS, "../made") | sound))
    script.main(argv)  # strings that no config.json has change nothing
    assert outside() == before
    changes = [{name: "../made"} for name in sound if name in STRINGS]
    changes += [{"data_path": str(tmp_path / path)} for path in ("made", "other/mine.dat")]
    for change in changes:
        config.write_text(json.dumps({**sound, **change}))
        with contextlib.suppress(InputError):
            script.main(argv)
        assert outside() == before, change


class Hostile:
    """Unpickling it makes the folder `hit`."""

    def __reduce__(self):
        return os.mkdir, ("hit",)


def test_loading_runs_no_code_from_a_file(refused, model_folder, tmp_path):
    (tmp_path / "x.npy").write_bytes(pickle.dumps(Hostile()))
    np.save(tmp_path / "y.npy", np.array([[Hostile()]], dtype=object))
    pickled = np.array([Hostile()] * 40, dtype=object)
    argv = model_folder(mnist_vae_after_training)
    x = np.load(tmp_path / "x.npz")["x_train"]
    y = np.zeros(40, np.uint8)
    np.savez(tmp_path / "z.npz", x_train=x, y_train=y, x_test=x, y_test=pickled)
    for name in ("x.npy", "y.npy"):
        line = refused(vae_main.main, ["--data_path", name, "--output_dir", "out"])
        assert name in line
    line = refused(mnist_vae_main.main, ["--data_path", "z.npz", "--output_dir", "out"])
    assert "z.npz: Object arrays cannot be loaded" in line
    for name in ("Encoder_W1.dat", "config.json"):
        for hostile in ((tmp_path / "x.npy").read_bytes(), (tmp_path / "y.npy").read_bytes()):
            path = tmp_path / "run" / name
            sound = path.read_bytes()
            path.write_bytes(hostile)
            assert name in refused(mnist_vae_after_training.main, argv)
            path.write_bytes(sound)
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load("y.npy")
    np.load("y.npy", allow_pickle=True)
    assert (tmp_path / "hit").exists()  # so it is hostile indeed
