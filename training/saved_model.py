"""The weights of a model as text files, and the model back from them."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training import run_folder
from training.errors import InputError, config_at_fault, one_line
from training.tables import as_type, checked, load_table

WEIGHT_NAMES = {"kernel": "W", "bias": "b"}
MAX_SIZE = 2**16  # of a layer; a config.json that asks for more is damaged


def weight_files(model):
    """The weights under their file names: Encoder_W1.dat, Encoder_b1.dat ... Decoder_b6.dat.

    The number counts the dense layers from the data through z back to the data. The weights of a
    batch normalization carry the number of the dense layer they follow.
    """
    files = {}
    number = 0
    for name, part in [("Encoder", model.encoder), ("Decoder", model.decoder)]:
        for layer in part.network.layers:
            number += isinstance(layer, keras.layers.Dense)
            for weight in layer.weights:
                short_name = WEIGHT_NAMES.get(weight.name, weight.name)
                files[f"{name}_{short_name}{number}.dat"] = weight
    return files


def write_weights(model, folder):
    """Write every weight as text that numpy.loadtxt reads, exact to the last bit.

    They are those of a network of x as it is, float32. A standardization is folded into them, in
    float64: for a mean far above the std float32 would have too few digits.
    """
    values = {name: weight.numpy() for name, weight in weight_files(model).items()}
    if model.standardized:
        values = for_raw_data(values, model)
    for name, value in values.items():
        digits = "%.9g" if value.dtype == np.float32 else "%.17g"
        with run_folder.atomic_write(Path(folder) / name) as path:
            np.savetxt(path, value, fmt=digits)


def read_weights(model, folder):
    """Read what write_weights wrote. InputError: a file is missing, damaged or misshaped."""
    files = weight_files(model)
    values = {name: load_weight(Path(folder) / name, w.shape) for name, w in files.items()}
    if model.standardized:
        values = for_standardized_data(values, model)
    for name, weight in files.items():
        weight.assign(values[name])


def head_units(model):
    """What the decoder's last layer is multiplied by, and what is added, to give data units."""
    scale = np.concatenate([model.x_std, np.ones(model.data_dim)])
    return scale, np.concatenate([model.x_mean, np.log(model.x_std)])


def for_raw_data(values, model):
    """The weights of a network of x for those of a network of (x - x_mean) / x_std, float64."""
    values = {name: np.float64(value) for name, value in values.items()}
    *_, head_W, head_b = values
    scale, shift = head_units(model)
    values["Encoder_W1.dat"] = values["Encoder_W1.dat"] / model.x_std[:, np.newaxis]
    values["Encoder_b1.dat"] = values["Encoder_b1.dat"] - model.x_mean @ values["Encoder_W1.dat"]
    values[head_W] = values[head_W] * scale
    values[head_b] = values[head_b] * scale + shift
    return values


def for_standardized_data(values, model):
    """The inverse of for_raw_data."""
    *_, head_W, head_b = values
    scale, shift = head_units(model)
    b = values["Encoder_b1.dat"] + model.x_mean @ values["Encoder_W1.dat"]
    W = values["Encoder_W1.dat"] * model.x_std[:, np.newaxis]
    head = {head_W: values[head_W] / scale, head_b: (values[head_b] - shift) / scale}
    return values | head | {"Encoder_W1.dat": W, "Encoder_b1.dat": b}


def load_weight(path, shape):
    """One array of the given shape (1-D or 2-D), float64, from a text file.

    InputError: it is missing, damaged, of another shape, or not finite in float32.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; the folder holds no finished run")
    values = load_table(path, dtype=np.float64)
    (_,) = checked(path, [as_type(values, np.float32)])  # refused there, if not finite
    if values.size != np.prod(shape) or not path.read_bytes().endswith(b"\n"):
        raise InputError(
            f"{path}: is incomplete, or not of the shape {tuple(shape)} that config.json asks for"
        )
    return values.reshape(shape)


def load_model(model_dir, make_model, kinds=("vae", "beta_vae")):
    """The trained model of a run folder, from its config.json and weight files.

    make_model(settings) gives the untrained model; kinds: what it can make, the `model` in
    config.json. Returns the model and the settings (a dictionary).
    InputError: the folder holds no finished run of this kind, or a file in it is damaged.
    """
    path = Path(model_dir) / "config.json"
    if not path.exists():
        mains = " or ".join(f"{kind}_main.py" for kind in kinds)
        raise InputError(f"no trained model in {model_dir}: run {mains}, or set --model_dir")
    settings = run_folder.read_json(path)
    if settings.get("model") not in kinds:
        raise InputError(f"{path}: its model is {settings.get('model')}, not {' or '.join(kinds)}")
    try:
        with config_at_fault(path):
            sizes = [settings["data_dim"], settings["n_dim"], *settings["n_width"]]
            if not all(type(size) is int and 0 < size <= MAX_SIZE for size in sizes):
                raise ValueError(f"sizes {sizes}")
            model = make_model(settings)
    except tf.errors.OpError as error:  # such as layers beyond memory
        raise InputError(f"{path}: damaged ({one_line(error)})") from None
    read_weights(model, model_dir)
    return model, settings
