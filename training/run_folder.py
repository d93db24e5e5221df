"""The files of a run: written whole or not at all, one run a folder, settings as JSON."""

import contextlib
import fcntl
import json
import os
import platform
import re
from importlib import metadata
from pathlib import Path

from training.errors import InputError, Stopped

MOST_WEIGHTS = 10**9  # a config.json that asks for more is damaged
PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "matplotlib")
RESULTS = ("config.json", "report.json", "*.csv", "*.dat", "checkpoint", "figures", "beta_*")


@contextlib.contextmanager
def written_whole(path):
    """Give a name beside `path` to write to, and put it in the place of `path` at the end.

    Whoever reads `path` meets the old file or the new one, never a part. An error on the way
    leaves the old one; an OSError, such as of a full disk, names `path`.
    """
    path = Path(path)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    finally:
        beside.unlink(missing_ok=True)


def remove_half_written(folder):
    """Remove the files that a run of this folder was writing when it was killed."""
    for path in (*folder.glob(".*"), *folder.glob("figures/.*")):
        if re.fullmatch(r"\.\d+\..+\.(json|csv|dat|png)", path.name):
            path.unlink()


def write_text(path, text):
    """Write a text file whole, in UTF-8."""
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path, values):
    """Write a dictionary as JSON, one key a line; NaN and infinity become null."""
    finite = json.loads(json.dumps(values), parse_constant=lambda _: None)
    write_text(path, json.dumps(finite, indent=2, ensure_ascii=False) + "\n")


def read_json(path):
    """The dictionary in a JSON file. InputError: missing, damaged, or not a dictionary."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the folder holds no run") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: damaged ({reason})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: damaged (not a JSON object)")
    return values


def report_of_finished_run(folder, n_epoch):
    """The report.json of a run folder, or None while its run of n_epoch epochs is not finished."""
    config, report = Path(folder) / "config.json", Path(folder) / "report.json"
    if not (config.exists() and report.exists() and read_json(config).get("n_epoch") == n_epoch):
        return None
    return read_json(report)


def read_settings(folder):
    """The settings in a run's config.json. InputError: missing, or not what a run writes."""
    path = Path(folder) / "config.json"
    settings = read_json(path)
    if settings.get("model") == "mnist_vae":
        raise InputError(f"{path}: is of images; use mnist_vae_after_training.py")
    if settings.get("model") == "beta_vae sweep":
        raise InputError(f"{path}: is of a sweep; give one of its folders beta_<value>")
    for name in ("data_dim", "n_dim", "n_width", "data_size"):
        require(is_size(settings.get(name)), path, name, settings)
    weights = (settings["data_dim"] + settings["n_dim"] + settings["n_width"]) * settings["n_width"]
    require(weights < MOST_WEIGHTS, path, "n_width", settings)
    require(is_seed(settings.get("seed")), path, "seed", settings)
    decoder_std, bound = settings.get("decoder_std", "missing"), settings.get("min_log_std")
    std_is_number = type(decoder_std) in (int, float) and 0 < decoder_std < float("inf")
    require(decoder_std is None or std_is_number, path, "decoder_std", settings)
    require(bound is None or is_log_std(bound), path, "min_log_std", settings)
    require(isinstance(settings.get("data_path", 0), str | None), path, "data_path", settings)
    return settings


def is_size(value):
    """Whether a value of a config.json is an integer of at least 1."""
    return type(value) is int and value >= 1


def is_seed(value):
    """Whether a value of a config.json is an integer from 0 to 2^31 - 1."""
    return type(value) is int and 0 <= value < 2**31


def is_log_std(value):
    """Whether a value of a config.json is a number from -40 to 40."""
    return type(value) in (int, float) and -40 <= value <= 40


def require(holds, path, name, settings):
    """InputError: the value of this name in the config.json at `path` is not sound."""
    if not holds:
        raise InputError(f"{path}: damaged ({name} is {settings.get(name, 'missing')!r})")


def versions():
    """The versions that a run depends on, by name."""
    return {"python": platform.python_version()} | {p: metadata.version(p) for p in PACKAGES}


@contextlib.contextmanager
def claimed(folder, args, **more):
    """Hold `folder` for one run: nobody else may write to it until the block is left.

    A new run needs a folder without results and writes its config.json: the parsed arguments,
    `more`, and the versions. With args.resume the settings must be those of the config.json that
    is there; a folder without one starts a new run. InputError: the folder holds another run, is
    in use, can't be written, or the settings differ. Stopped: the run is finished.
    """
    folder = Path(folder)
    settings = {**more, **vars(args)}
    del settings["resume"], settings["output_dir"]
    if settings["data_path"] is not None:
        settings["data_path"] = str(Path(settings["data_path"]).resolve())
    config = folder / "config.json"
    if args.resume and config.exists():
        earlier = read_json(config)
        require(is_size(earlier.get("n_epoch")), config, "n_epoch", earlier)
        check_continues(folder, settings, earlier)
    elif found := [name for name in RESULTS for _ in folder.glob(name)]:
        raise InputError(
            f"--output_dir {folder}: holds results already ({found[0]}); they are kept: give "
            "another --output_dir, move them, or continue that run with --resume"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    except OSError as error:
        raise InputError(f"--output_dir {folder}: can't be written ({error.strerror})") from None
    with lock_of(folder):
        if args.resume:
            remove_half_written(folder)
        write_json(config, {**settings, "versions": versions()})
        yield folder


def check_continues(folder, settings, earlier):
    """InputError: the settings are not those of the run in the folder. Stopped: it is finished."""
    changed = {name for name, value in settings.items() if earlier.get(name) != value}
    changed -= {"distribute", "tensorboard"}  # which change no figure
    if changed == {"n_epoch"} and settings["n_epoch"] > earlier["n_epoch"]:
        if settings["lr_schedule"] != "cosine":
            return
        raise InputError(
            f"--n_epoch {settings['n_epoch']}: {folder} was begun with {earlier['n_epoch']} and a "
            f"{settings['lr_schedule']} learning rate, which ends with the last epoch; only "
            "other schedules can go on"
        )
    if changed:
        differences = (f"--{n} {earlier.get(n)}, now {settings[n]}" for n in sorted(changed))
        raise InputError(f"--resume: {folder} was begun with {'; '.join(differences)}")
    if list(folder.glob("*.dat")) and not list((folder / "checkpoint").glob("*.index")):
        raise InputError(f"--resume: {folder} holds weights, but no checkpoint to go on from")
    if (folder / "report.json").exists():
        raise Stopped(f"{folder}: this run is finished; nothing is left to resume", status=0)


@contextlib.contextmanager
def lock_of(folder):
    """Hold the lock of the folder, which ends with the process. InputError: another run has it."""
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"--output_dir {folder}: another run is writing to it") from None
        yield
