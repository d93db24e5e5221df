"""Peers in processes of their own that take turns, and the tables of what they took."""

import csv
import importlib
import importlib.util
import os
import platform
import re
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs" / "developers"
PAGE = DOCS / "speed.md"
PACKAGES = ("tensorflow", "keras", "jax", "torch", "numpy")
QUIET = 0.1  # seconds before each turn: threads of the last one may still spin
OURS = "this project"
subject = None  # in a peer's process: the object that it measures


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
        self.process = ProcessPoolExecutor(1, get_context("spawn"))

    def make(self, *arguments):
        self.process.submit(make, self.module, self.name, arguments).result()

    def call(self, method, *arguments):
        return self.process.submit(call, method, arguments).result()

    def seconds(self, method, *arguments):
        time.sleep(QUIET)
        return self.process.submit(seconds, method, arguments).result()


def start(peers):
    """The Peers of those (label, module, class) whose module can be imported."""
    installed = []
    for label, module, name in peers:
        package = {"jax_scan": "jax", "pytorch": "torch"}.get(module, "numpy")
        if importlib.util.find_spec(package):
            installed.append(Peer(label, module, name))
        else:
            print(f"{label} is left out: {package} is not installed", file=sys.stderr)
    return installed


def take_turns(turns, rounds):
    """The seconds of each turn: {label: [seconds of round 1, ...]}; turns: {label: function}.

    A function takes the number of the round and returns its seconds. Round 0 compiles and is not
    counted.
    """
    times = {label: [] for label in turns}
    for number in range(rounds + 1):
        for label, turn in turns.items():
            times[label].append(turn(number))
    return {label: values[1:] for label, values in times.items()}


def circumstances(command):
    """The command, the day, the machine and the versions, in Markdown."""
    cpu = re.search(r"model name\s*: (.*)", read("/proc/cpuinfo"))
    machine = f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores"
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{p} {metadata.version(p)}" for p in PACKAGES if importlib.util.find_spec(p)]
    return f"`python -m benchmarks {command}`, {date.today()}; {machine}; {', '.join(versions)}."


def read(path):
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def middle(values):
    """The median, lowest and highest of the rounds, as columns of a table."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def short(value):
    """Three digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def markdown(header, rows):
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def write_table(question, text, page=PAGE):
    """Print the answer to a question and put it into the page, behind the mark of its name."""
    print(text)
    mark = rf"(<!-- {question} -->\n).*?(<!-- end -->)"
    whole = re.sub(mark, lambda m: f"{m[1]}\n{text}\n{m[2]}", read(page), flags=re.DOTALL)
    page.write_text(whole, encoding="utf-8")


def write_csv(question, rows):
    """Put the rows in place of those of this question in the table beside the page; return all."""
    path = PAGE.with_suffix(".csv")
    old = csv.DictReader(read(path).splitlines())
    table = [row for row in old if row["question"] != question]
    table += [{"question": question, **row} for row in rows]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    return table
