"""The checkpoints of a run: .npz files with its arrays and its state, each written whole.

The newest KEPT of them stay, so that a damaged one costs seconds of work, not the run.
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np

from training import run_folder
from training.errors import InputError, one_line

KEPT = 3


def folder_of(run_folder_path):
    return Path(run_folder_path) / "checkpoint"


def paths(folder):
    """The checkpoints of the run in `folder`, the oldest first."""
    return sorted(folder_of(folder).glob("checkpoint_*.npz"))


def save(folder, number, state, **groups):
    """Write checkpoint `number` of the run in `folder` and remove the oldest.

    state: what json can hold. groups: name -> list of arrays, such as the weights of the model.
    """
    arrays = {"state": np.frombuffer(json.dumps(state).encode(), np.uint8)}
    for name, group in groups.items():
        for i, array in enumerate(group):
            arrays[f"{name}_{i}"] = array
    path = folder_of(folder) / f"checkpoint_{number:09d}.npz"
    path.parent.mkdir(exist_ok=True)
    with run_folder.atomic_write(path) as temporary:
        np.savez(temporary, **arrays)
    for old in paths(folder)[:-KEPT]:
        old.unlink()


def load_newest(folder, **like):
    """The newest checkpoint that can be read: its number, its state and its groups of arrays.

    like: name -> the variables whose shapes the arrays of this group must have.
    Returns None where the run has no checkpoint. One that is damaged is skipped with a warning.
    InputError: all of them are damaged.
    """
    found = paths(folder)
    for path in reversed(found):
        try:
            state, groups = read(path, like)
        except (OSError, ValueError, LookupError, zipfile.BadZipFile) as error:
            print(f"warning: {path}: damaged, skipped ({one_line(error)})", file=sys.stderr)
            continue
        return int(path.stem.rpartition("_")[2]), state, groups
    if found:
        raise InputError(f"{folder_of(folder)}: no checkpoint in it can be read")
    return None


def read(path, like):
    """State and groups of arrays of a checkpoint. ValueError: an array has another shape."""
    groups = {}
    with np.load(path, allow_pickle=False) as archive:
        state = json.loads(bytes(archive["state"]))
        for name, variables in like.items():
            groups[name] = [archive[f"{name}_{i}"] for i in range(len(variables))]
            if any(a.shape != v.shape for a, v in zip(groups[name], variables, strict=True)):
                raise ValueError(f"{name}: not the shapes that config.json asks for")
    return state, groups
