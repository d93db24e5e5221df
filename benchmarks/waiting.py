"""What a user waits for: training until the held-out gap stays small, and a whole run.

The gap is the mean of log p(x) - ELBO over the held-out rows of the default run, p(x) being the
known Gaussian, with one draw of z for each. All peers train the same network from the same first
weights on the same rows. Seconds are those of the epochs, compiling included.
"""

import quiet_tensorflow

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import data_processing
import vae_main
from analysis import evaluation
from benchmarks import measuring
from benchmarks.measuring import OURS, short
from benchmarks.peers import this_project
from benchmarks.peers.problems import GAUSSIAN
from training.run_folder import read_json
from training.settings import make_settings

ROOT = Path(__file__).resolve().parents[1]
PEERS = {OURS: "this_project", "JAX lax.scan": "jax_scan", "Keras fit": "keras_fit"}
BATCH_SIZE, N_EPOCH = 128, 30  # of the peers, as in the VAE examples of Flax and of Keras
GAPS = (0.01, 0.004)


def seconds_until(gap, epochs):
    """Seconds of the (seconds, gap) of `epochs` until the gap stays below `gap`, or infinity."""
    seconds, gaps = np.transpose(epochs)
    too_large = np.flatnonzero(gaps >= gap)
    first = too_large[-1] + 1 if len(too_large) else 0
    return seconds[: first + 1].sum() if first < len(gaps) else np.inf


def train(peer, n_epoch, data, seed):
    """(seconds, held-out gap) of each epoch of a peer that is made."""
    model = this_project.make_model(GAUSSIAN)
    optimum = data.known.log_density(data.x_held_out).mean()
    epochs = []
    for epoch in range(1, n_epoch + 1):
        seconds = peer.seconds("train", N_EPOCH * seed + epoch)
        model.set_weights(peer.call("weights"))
        elbo = evaluation.mean_elbo(model, data.x_held_out, (seed, "epoch", epoch))
        epochs.append((seconds, optimum - elbo))
    return epochs


def quality(args):
    """Each round trains each peer once, with a seed of its own for data, order and noise."""
    with measuring.peers(PEERS, "Trainer") as peers:
        runs = {peer.label: [] for peer in peers}
        for seed in range(args.rounds):
            flags = vae_main.parse_arguments(["--seed", str(seed)])
            data = data_processing.get_data(flags)
            run = make_settings(flags, data)
            ours = (
                run.batch_size,
                run.optimizer,
                run.lr,
                run.lr_schedule,
                run.n_epoch,
                run.weight_decay,
            )
            for peer in peers:
                how = ours if peer.label == OURS else (BATCH_SIZE, "adam")
                n_epoch = run.n_epoch if peer.label == OURS else N_EPOCH
                peer.make(GAUSSIAN, data.x_train, *how)
                runs[peer.label].append(train(peer, n_epoch, data, seed))
    rows = []
    for label, of_peer in runs.items():
        to_gaps = [np.median([seconds_until(gap, epochs) for epochs in of_peer]) for gap in GAPS]
        whole, _ = np.median(np.sum(of_peer, axis=1), axis=0)
        gap = np.median([epochs[-1][1] for epochs in of_peer])
        rows.append([label, *map(short, to_gaps), short(whole), f"{gap:.4f}"])
    header = ["seconds", *(f"to a gap of {gap}" for gap in GAPS), "whole run", "gap at its end"]
    measuring.write_table("quality", args.rounds, header, rows)


def one_run(version):
    """python vae_main.py of the version in a folder: its seconds, those in epochs, and its gap."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "vae_main.py", "--output_dir", f"{folder}/run"]
        start = time.perf_counter()
        subprocess.run(command, cwd=version, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        report = read_json(Path(folder, "run", "report.json"))
    return seconds, report["seconds"], report["gap"]


def run(args):
    versions = {OURS: ROOT}
    for folder in args.other:
        versions[f"the version in {Path(folder).name}"] = Path(folder)
    turns = {label: lambda k, folder=folder: one_run(folder) for label, folder in versions.items()}
    rows = []
    for label, runs in measuring.take_turns(turns, args.rounds).items():
        seconds, in_epochs, gap = np.median(runs, axis=0)
        times = map(short, (seconds, in_epochs, seconds - in_epochs, gap))
        rows.append([label, *times])
    header = ["`python vae_main.py`", "seconds", "of these in epochs", "elsewhere", "gap"]
    measuring.write_table("run", args.rounds, header, rows)
