"""Peers in processes of their own that take turns, and the table and picture of what they took."""

import csv
import importlib
import importlib.util
import multiprocessing
import os
import platform
import statistics
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib import metadata
from pathlib import Path

PACKAGES = ("tensorflow", "keras", "jax", "optax", "torch", "numpy")
QUIET = 0.1  # seconds before each turn: threads of the last one may still spin
subject = None  # in a peer's process: the object that it measures


def end_with_parent():
    """Let this process end when the one that started it does, even if that was killed."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def make(module, name, arguments):
    global subject
    subject = None  # free the last one first
    subject = getattr(importlib.import_module(f"benchmarks.peers.{module}"), name)(*arguments)


def call(method, arguments):
    return getattr(subject, method)(*arguments)


def seconds(method, arguments):
    start = time.perf_counter()
    call(method, arguments)
    return time.perf_counter() - start


class Peer:
    """A class of a module of benchmarks/peers in its own process, which waits between its turns."""

    def __init__(self, label, module, name):
        self.label, self.module, self.name = label, module, name
        context = multiprocessing.get_context("spawn")
        self.process = ProcessPoolExecutor(1, context, initializer=end_with_parent)

    def make(self, *arguments):
        self.process.submit(make, self.module, self.name, arguments).result()

    def call(self, method, *arguments):
        return self.process.submit(call, method, arguments).result()

    def seconds(self, method, *arguments):
        time.sleep(QUIET)
        return self.process.submit(seconds, method, arguments).result()


def is_there(label, *packages):
    """Whether a peer's packages are installed; a line on stderr where they are not."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        print(f"{label} is left out: {' and '.join(missing)} not installed", file=sys.stderr)
    return not missing


def take_turns(peers, method, rounds):
    """The seconds of each peer's turns: {label: [seconds of round 0, ...]}.

    Each peer is first called once with round number 0, which compiles and is not counted.
    """
    for peer in peers:
        peer.call(method, 0)
    times = {peer.label: [] for peer in peers}
    for number in range(1, rounds + 1):
        for peer in peers:
            times[peer.label].append(peer.seconds(method, number))
    return times


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def circumstances():
    """The command, the day, the machine and the versions, in Markdown."""
    versions = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        if importlib.util.find_spec(name):
            versions.append(f"{name} {metadata.version(name)}")
    arguments = " ".join(["benchmarks/" + Path(sys.argv[0]).name, *sys.argv[1:]])
    cores = multiprocessing.cpu_count()
    return (
        f"`python {arguments}`, {date.today()}; {processor()}, {cores} cores, "
        f"{platform.system()}; {', '.join(versions)}."
    )


def write_csv(path, rows):
    """Write dictionaries of the same keys."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def markdown(header, rows):
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def middle(values):
    """The median, lowest and highest of the rounds, as columns of a table."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def short(value):
    """Three digits, without an exponent."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
