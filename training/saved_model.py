"""The weights of a model as text files, and the model back from them or from a checkpoint."""

from pathlib import Path

import keras
import numpy as np

from training import checkpoints, tables
from training.errors import InputError
from training.settings import read_config
from training.standardization import weights_for_data, weights_for_standardized

WEIGHT_NAMES = {"kernel": "W", "bias": "b"}


def weight_files(model):
    """The weights under their file names: Encoder_W1.dat, Encoder_b1.dat ... Decoder_b6.dat.

    The number counts the dense layers from the data through z back to the data. The weights of a
    batch normalization carry the number of the dense layer they follow.
    """
    files = {}
    number = 0
    for name, part in [("Encoder", model.encoder), ("Decoder", model.decoder)]:
        for layer in part.network.layers:
            if isinstance(layer, keras.layers.Dense):
                number += 1
            for weight in layer.weights:
                short_name = WEIGHT_NAMES.get(weight.name, weight.name)
                files[f"{name}_{short_name}{number}.dat"] = weight
    return files


def write_weights(model, folder):
    """Write every weight as text that numpy.loadtxt reads, exact to the last bit.

    They are those of a network of x as it is, float32; where the rows are standardized, float64.
    """
    values = {name: weight.numpy() for name, weight in weight_files(model).items()}
    if model.standardization is not None:
        values = weights_for_data(values, model.standardization)
    for name, value in values.items():
        tables.save_table(Path(folder) / name, value.reshape(len(value), -1))


def read_weights(model, folder):
    """Read what write_weights wrote. InputError: a file is missing, damaged or misshaped."""
    files = weight_files(model)
    values = {name: load_weight(Path(folder) / name, w.shape) for name, w in files.items()}
    if model.standardization is not None:
        values = weights_for_standardized(values, model.standardization)
    for name, weight in files.items():
        with np.errstate(over="ignore"):
            value = np.float32(values[name])
        if not np.isfinite(value).all():
            raise InputError(f"{Path(folder) / name}: holds a weight that is too large for float32")
        weight.assign(value)


def load_weight(path, shape):
    """One array of the given shape (1-D or 2-D), float64, from a text file.

    InputError: it is missing, damaged, of another shape, or not finite in float32.
    """
    if not path.exists():
        raise InputError(
            f"{path}: no such file; the run in this folder is not finished: continue it with "
            "--resume, or look at it as it stands with --checkpoint"
        )
    values = tables.load_table(path, may_have_names=False)
    if values.size != np.prod(shape) or not path.read_bytes().endswith(b"\n"):
        raise InputError(
            f"{path}: is incomplete, or not of the shape {tuple(shape)} that config.json asks for"
        )
    return values.reshape(shape)


def load_model(model_dir, make_model, kinds=("vae", "beta_vae"), checkpoint=False):
    """The trained model of a run folder, from its config.json and weight files, and its Settings.

    make_model(settings) gives the untrained model; kinds: what it can make, the `model` in
    config.json. checkpoint: take the weights of the newest checkpoint, of a run that may not be
    finished, and say on the screen how far it has come.
    InputError: the folder holds no finished run of this kind, or a file in it is damaged.
    """
    settings = read_config(model_dir, kinds)
    model = make_model(settings)
    if checkpoint:
        read_checkpoint(model, model_dir)
    else:
        read_weights(model, model_dir)
    return model, settings


def read_checkpoint(model, folder):
    """Give the model the weights of the newest checkpoint of the run in `folder`."""
    newest = checkpoints.load_newest(folder, model=model.weights)
    if newest is None:
        raise InputError(f"--checkpoint: {folder} holds no checkpoint")
    _, state, arrays = newest
    model.set_weights(arrays["model"])
    n_epochs = len(state["history"])
    print(f"{folder}: as it stands after {n_epochs} epochs and {state['step']} steps", flush=True)
