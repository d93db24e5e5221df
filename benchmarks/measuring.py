"""Peers in processes of their own that take turns, and the tables of what they took."""

import contextlib
import importlib.util
import os
import re
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path

from docs.make_results import fill

PACKAGES = ("tensorflow", "keras", "jax", "torch", "numpy")  # those whose versions a table names
PACKAGE_OF = {"jax_scan": "optax", "pytorch": "torch"}
QUIET = 0.1  # seconds before each turn: threads of the last one may still spin
OURS = "this project"
subject = None  # in a peer's process: the object that it measures


def make(module, name, arguments):
    global subject
    subject = getattr(importlib.import_module(f"benchmarks.peers.{module}"), name)(*arguments)


def timed_call(method, arguments):
    start = time.perf_counter()
    result = getattr(subject, method)(*arguments)
    return time.perf_counter() - start, result


class Peer:
    """A class of a module of benchmarks/peers in its own process, which waits between its turns."""

    def __init__(self, label, module, name):
        self.label, self.module, self.name = label, module, name
        self.process = ProcessPoolExecutor(1, get_context("spawn"))

    def make(self, *arguments):
        self.process.submit(make, self.module, self.name, arguments).result()

    def call(self, method, *arguments):
        return self.process.submit(timed_call, method, arguments).result()[1]

    def seconds(self, method, *arguments):
        time.sleep(QUIET)
        return self.process.submit(timed_call, method, arguments).result()[0]


@contextlib.contextmanager
def peers(modules, name):
    """The Peers of a class `name`, by {label: module}, without those that are not installed."""
    found = []
    for label, module in modules.items():
        package = PACKAGE_OF.get(module, "numpy")
        if importlib.util.find_spec(package):
            found.append(Peer(label, module, name))
        else:
            print(f"{label} is left out: {package} is not installed", file=sys.stderr)
    yield found
    for peer in found:
        peer.process.shutdown()


def take_turns(turns, rounds):
    """Call each function once per round, in turn; return {label: [its results]} without round 0.

    turns: {label: function of the number of the round}. Round 0 is for warming up.
    """
    times = {label: [] for label in turns}
    for k in range(rounds + 1):
        for label, turn in turns.items():
            times[label].append(turn(k))
    return {label: values[1:] for label, values in times.items()}


def short(value):
    """Three digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def write_table(question, rounds, header, rows):
    """Put the answer to a question into docs/developers/speed.md, at the mark of its name."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]  # of Linux
    installed = [package for package in PACKAGES if importlib.util.find_spec(package)]
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in installed)
    command = f"`python -m benchmarks {question} --rounds {rounds}`"
    note = f"{command}, {date.today()}; {cpu}, {os.cpu_count()} cores; {versions}."
    fill("developers/speed.md", question, header, rows, f"\n{textwrap.fill(note, 100)}\n\n")
