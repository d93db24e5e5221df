"""The folder of a run: claimed by one process, every file in it written whole, settings as JSON."""

import contextlib
import json
import os
import platform
import re
import tempfile
from importlib import metadata
from pathlib import Path

import filelock

from training.errors import InputError, Stopped, one_line

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "matplotlib")
RESULTS = ("config.json", "report.json", "*.csv", "*.dat", "checkpoint", "figures", "beta_*")
CHANGE_NO_RESULT = {"distribute", "tensorboard"}


@contextlib.contextmanager
def atomic_write(path):
    """Give a temporary name beside `path` to write to, then rename it to `path`.

    A reader of `path` finds the old file or the new one, never a part. After an error it is
    the old one; an OSError, such as of a full disk, names `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporaries(folder):
    """Remove the files that a run in this folder was writing when it was killed."""
    for path in (*folder.glob(".*"), *folder.glob("figures/.*"), *folder.glob("checkpoint/.*")):
        if re.fullmatch(r"\.\d+\..+\.(json|csv|dat|png|npz)", path.name):
            path.unlink()


def write_json(path, values):
    """Write a dictionary as JSON, one key per line; NaN and infinity become null."""
    finite = json.loads(json.dumps(values), parse_constant=lambda _: None)
    with atomic_write(path) as temporary:
        text = json.dumps(finite, indent=2, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8")


def read_json(path):
    """The dictionary in a JSON file. InputError: missing, damaged, or not a dictionary."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: missing or damaged ({one_line(error)})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: damaged (not a JSON object)")
    return values


def write_table(path, rows):
    """Write a list of dictionaries with the same keys as .csv; None becomes nan."""
    lines = [",".join(rows[0])]
    lines += [",".join("nan" if v is None else str(v) for v in row.values()) for row in rows]
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_folder(folder):
    """Make the folder of the results, if need be. InputError: nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"--output_dir {folder}: can't be written to ({error.strerror})") from None


def check_unused(folder):
    """InputError: the folder holds results."""
    for name in RESULTS:
        if any(Path(folder).glob(name)):
            raise InputError(
                f"--output_dir {folder}: already holds results ({name}), which are kept: give "
                "another --output_dir, move them, or continue that run with --resume"
            )


@contextlib.contextmanager
def claim_folder(folder, values, resume):
    """Hold a folder for one run: nobody else may write to it until the block is left.

    values: the settings of the run, a dictionary. A new run needs a folder without results, and
    writes config.json: the settings and the versions of the packages. With `resume` the settings
    must be those of the config.json that is there; a folder without one starts a new run.
    InputError: the folder holds another run, is in use, can't be written, or the settings differ.
    Stopped: the run is finished.
    """
    config = folder / "config.json"
    if resume and config.exists():
        check_continues(folder, values, read_json(config))
    else:
        check_unused(folder)
    make_folder(folder)
    try:
        lock = filelock.FileLock(folder / ".lock", timeout=0).acquire()
    except filelock.Timeout:
        raise InputError(f"--output_dir {folder}: another run is writing to it") from None
    with lock:
        if resume:
            remove_temporaries(folder)
        versions = {package: metadata.version(package) for package in PACKAGES}
        versions["python"] = platform.python_version()
        write_json(config, {**values, "versions": versions})
        (folder / "report.json").unlink(missing_ok=True)  # it marks a finished run
        yield


def check_continues(folder, values, earlier):
    """InputError: the settings are not those of the run in the folder. Stopped: it is finished."""
    values = json.loads(json.dumps(values))
    changed = {name for name in values if earlier.get(name) != values[name]} - CHANGE_NO_RESULT
    n_epoch, begun_with = values["n_epoch"], earlier.get("n_epoch")
    if changed == {"n_epoch"} and isinstance(begun_with, int) and n_epoch > begun_with:
        if values["lr_schedule"] != "cosine":
            return
        raise InputError(
            f"--n_epoch {n_epoch}: {folder} was begun with {begun_with} and a cosine learning "
            "rate, which is zero after the last epoch; only other schedules can be extended"
        )
    if changed:
        differences = (f"--{n} {earlier.get(n)}, now {values[n]}" for n in sorted(changed))
        raise InputError(f"--resume: {folder} was begun with {'; '.join(differences)}")
    if any(folder.glob("*.dat")) and not any((folder / "checkpoint").glob("*.npz")):
        raise InputError(f"--resume: {folder} holds weights, but no checkpoint to continue from")
    if (folder / "report.json").exists():
        raise Stopped(f"{folder}: this run is finished; nothing is left to resume", status=0)
