"""Kill training runs at drawn moments, resume them, and compare the end with an undisturbed run.

    python -m tests.kill_and_resume --kills 100

The runs are in turn of vae_main.py, of beta_sweep.py and of mnist_vae_main.py. Each is
a process of its own, forked after the imports, that tells this one what it is about to do: start
up, train, write a checkpoint or another file. Every second kill falls at any moment of the run, the
others while a file is written. The signal is SIGKILL, SIGTERM or SIGINT. A run is killed and
started again with --resume up to three times before it may end. Survived: every file that it leaves
is byte for byte that of the undisturbed run, times aside; in checkpoint/ there are as many files.
An exit status that the signal should not leave is printed as odd; the run must survive it too.
test_faults.py makes ten kills. For POSIX: it forks.
"""

import argparse
import collections
import contextlib
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import beta_sweep
import mnist_vae_main
import vae_main
from analysis import figure_style, gaussian_report, sample_figures
from data_processing import DATA_FOLDER
from training import command_line, loop, run_folder

GAUSSIAN = "--data_size 200 --batch_size 20 --n_width 8 --seed 3".split()
IMAGES = ["--data_path", str(DATA_FOLDER / "mnist_sample.npz"), "--batch_size", "250"]
RUNS = {
    "vae_main": (vae_main.main, [*GAUSSIAN, "--n_epoch", "6"]),
    "beta_sweep": (
        beta_sweep.main,
        [*GAUSSIAN, *"--n_epoch 3 --beta 1 4 --decoder_std 0.3".split()],
    ),
    "mnist_vae_main": (mnist_vae_main.main, [*IMAGES, *"--n_width 8 --n_epoch 3".split()]),
}
STATUS = {  # a signal may come before or after the time in which a run takes it for itself
    signal.SIGKILL: (-signal.SIGKILL,),
    signal.SIGTERM: (-signal.SIGTERM, 128 + signal.SIGTERM),
    signal.SIGINT: (128 + signal.SIGINT,),
}
KINDS = {"Encoder_": "weights", "Decoder_": "weights", ".png": "picture"}  # of files, by name
KINDS |= {"cost_function": "cost function"}
WAITING = ("start-up", "training", "between final files")
KILLS_OF_A_RUN = 3
MAX_SECONDS = 300.0  # seconds that one process may take


def make_small():
    """A checkpoint after every chunk and epoch, a rough report, and the two quickest pictures."""
    loop.SECONDS_BETWEEN_CHECKPOINTS = loop.SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 0.0
    gaussian_report.REPORT_Z, gaussian_report.COVARIANCE_SAMPLES = 2**12, 2000
    sample_figures.covariances = sample_figures.pairwise_marginals = lambda *_: None


def report_stages(pipe):
    """Make a run write its stages into the pipe as they begin, a line each: time, stage."""
    save, atomic_write = loop.Run.save, run_folder.atomic_write

    def say(stage):
        os.write(pipe, f"{time.monotonic()} {stage}\n".encode())

    def reported_save(run):
        say("checkpoint")
        save(run)
        say("training")

    @contextlib.contextmanager
    def reported_atomic_write(path):
        name = Path(path).name
        say(next((kind for part, kind in KINDS.items() if part in name), name))
        with atomic_write(path) as temporary:
            yield temporary
        say("start-up" if name == "config.json" else "between final files")

    loop.Run.save = reported_save
    run_folder.atomic_write = figure_style.atomic_write = reported_atomic_write
    say("start-up")


def start(name, folder, *flags):
    """Start one of RUNS as a process; its number, and the pipe that its stages come from."""
    stages, pipe = os.pipe()
    process = os.fork()
    if process:
        os.close(pipe)
        return process, open(stages)
    status = 1
    try:
        os.close(stages)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
        for output in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), output)
        make_small()
        report_stages(pipe)
        main, more = RUNS[name]
        command_line.run(lambda: main(["--output_dir", str(folder), *more, *flags]))
        status = 0
    except SystemExit as left:
        status = left.code
    finally:
        os._exit(status)


def finish(process):
    """Wait for a process; its exit status, negative for a signal that killed it."""
    deadline = time.monotonic() + MAX_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise RuntimeError(f"a run took more than {MAX_SECONDS:g} s")


def read_stages(pipe, until=None, before=0):
    """(time, stage) of the stages in a pipe: up to one named `until`, or up to the run's end."""
    stages = []
    for line in pipe:
        begin, stage = line.rstrip().split(" ", 1)
        stages.append((float(begin), stage))
        before -= stage == until
        if before < 0:
            break
    return stages


def undisturbed(name, folder):
    """Run one of RUNS to its end: its results, and its stages as (stage, seconds) in order."""
    process, pipe = start(name, folder)
    with pipe:
        stages = read_stages(pipe)
    assert finish(process) == 0, name
    times = [begin for begin, _ in stages] + [time.monotonic()]
    lengths = [end - begin for begin, end in itertools.pairwise(times)]
    return results(folder), list(zip([stage for _, stage in stages], lengths, strict=True))


def draw_moment(stages, aimed, rng):
    """(stage, how many of its kind before it, seconds into it): any moment, or of a writing."""
    numbers, weights = range(len(stages)), [seconds for _, seconds in stages]
    if aimed:
        kind = rng.choice(sorted({stage for stage, _ in stages}.difference(WAITING)))
        weights = [stage == kind for stage, _ in stages]
    (number,) = rng.choices(numbers, weights)
    stage, length = stages[number]
    before = sum(name == stage for name, _ in stages[:number])
    return stage, before, rng.uniform(0.0, length)


def wait(process, seconds):
    """Sleep so long, or until the process has ended."""
    until = time.monotonic() + seconds
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while (left := until - time.monotonic()) > 0 and not os.waitid(os.P_PID, process, ended):
        time.sleep(min(left, 0.1))


def results(folder):
    """What a run left, times aside: file name -> content; of checkpoints their number of files."""
    found = collections.Counter()
    for path in folder.rglob("*"):
        if path.parent.name == "checkpoint":
            found[str(path.parent.relative_to(folder))] += 1
            continue
        if path.is_dir():
            continue
        content = path.read_bytes()
        if path.name == "history.csv":
            content = [line.rsplit(b",", 1)[0] for line in content.splitlines()]
        if path.name == "report.json":
            content = {k: v for k, v in json.loads(content).items() if k != "seconds"}
        found[str(path.relative_to(folder))] = content
    return found


def differences(found, expected):
    names = sorted(found.keys() | expected.keys())
    return [name for name in names if found.get(name) != expected.get(name)]


def kill(name, folder, flags, moment, number):
    """Send the signal to one of RUNS at the moment: the stage it hit, None if the run had ended."""
    stage, before, seconds = moment
    process, pipe = start(name, folder, *flags)
    with pipe:
        stages = read_stages(pipe, stage, before)
        wait(process, seconds)
        now = time.monotonic()
        os.kill(process, number)
        status = finish(process)
        stages += read_stages(pipe)
    if status == 0:
        return None
    hit = [stage for begin, stage in stages if begin <= now][-1]
    if status not in STATUS[number]:
        print(f"odd: {name}: {number.name} in {hit} left exit status {status}", flush=True)
    return hit


def kill_and_resume(name, folder, stages, most, rng):
    """Kill one of RUNS up to `most` times, each time resumed, and let it end: the stages hit."""
    hits, flags = [], []
    for k in range(most):
        number = rng.choice(list(STATUS))
        hit = kill(name, folder, flags, draw_moment(stages, k % 2 == 1, rng), number)
        if hit is None:
            return hits
        hits.append(hit)
        flags = ["--resume"]
    process, pipe = start(name, folder, *flags)
    with pipe:
        read_stages(pipe)
    status = finish(process)
    if status != 0:
        raise RuntimeError(f"{name}: resumed after {hits}, it left exit status {status}")
    return hits


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments and signals")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    survived, hits = 0, collections.Counter()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        whole = {name: undisturbed(name, Path(folder) / name) for name in args.runs}
        for number in itertools.count():
            most = min(KILLS_OF_A_RUN, args.kills - hits.total())
            if most == 0:
                break
            name = args.runs[number % len(args.runs)]
            expected, stages = whole[name]
            killed = Path(folder) / f"killed_{number}"
            hit = kill_and_resume(name, killed, stages, most, rng)
            hits.update((stage, name) for stage in hit)
            wrong = differences(results(killed), expected)
            survived += 0 if wrong else len(hit)
            if wrong:
                print(f"{name}, killed in {hit}: {wrong} differ", flush=True)
    print_hits(hits, args.runs)
    seconds = time.monotonic() - begin
    print(f"{survived} of {args.kills} kills survived, in {number} runs, {seconds:.0f} s")
    sys.exit(survived != args.kills)


def print_hits(hits, runs):
    print(f"{'stage':<24}", *(f"{name:>16}" for name in runs))
    for stage in dict.fromkeys(stage for stage, _ in hits):
        print(f"{stage:<24}", *(f"{hits[stage, name]:16d}" for name in runs))


if __name__ == "__main__":
    main()
