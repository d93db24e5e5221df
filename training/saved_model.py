"""The weights of a model as text files, and the model back from them."""

import io
import warnings
from pathlib import Path

import keras
import numpy as np

from training import run_folder
from training.errors import InputError

WEIGHT_NAMES = {"kernel": "W", "bias": "b"}


def write_weights(model, folder):
    """Write every weight as text that numpy.loadtxt reads, exact to the last bit of float32."""
    for name, values in weights_for_data(model).items():
        with run_folder.written_whole(Path(folder) / name) as path:
            np.savetxt(path, values, fmt="%.9g")


def read_weights(model, folder):
    """Read what write_weights wrote. InputError: a file is missing, damaged or misshaped."""
    files = weight_files(model)
    values = [load_weight(Path(folder) / name, tuple(w.shape)) for name, w in files.items()]
    for weight, value in zip(files.values(), values, strict=True):
        weight.assign(value)


def weight_files(model):
    """The weights under their file names: Encoder_W1.dat, Encoder_b1.dat ... Decoder_b6.dat.

    The number counts the dense layers from the data through z back to the data. The weights of a
    batch normalisation carry the number of the dense layer they follow.
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


def weights_for_data(model):
    """The weights under their file names, float32, the standardization worked into them.

    A model without standardization computes with them, on rows as they are, what `model` does:
    the first layer takes x instead of (x - x_mean) / x_std, the last one gives x_mean + x_std *
    mean and log_std + log(x_std).
    """
    values = {name: weight.numpy() for name, weight in weight_files(model).items()}
    if np.ndim(model.x_std):
        *_, head_W, head_b = values  # the decoder's last layer
        first_W = values["Encoder_W1.dat"] / model.x_std[:, np.newaxis]
        values["Encoder_W1.dat"] = first_W
        values["Encoder_b1.dat"] = values["Encoder_b1.dat"] - model.x_mean @ first_W
        stretch = np.concatenate([model.x_std, np.ones(model.data_dim)])
        shift = np.concatenate([model.x_mean, np.log(model.x_std)])
        values[head_W] = values[head_W] * stretch
        values[head_b] = values[head_b] * stretch + shift
    return {name: np.float32(value) for name, value in values.items()}


def load_weight(path, shape):
    """One array of the given shape (1-D or 2-D), float32, from a text file.

    InputError: it is missing, damaged, of another shape, or not finite.
    """
    try:
        text = Path(path).read_text()
        if not text.endswith("\n"):
            raise InputError(f"{path}: ends within a line; it is not complete")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an empty file
            values = np.loadtxt(io.StringIO(text), dtype=np.float64, ndmin=2)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the folder holds no finished run") from None
    except InputError:
        raise
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path}: not a text file of numbers ({' '.join(str(error).split())})"
        ) from None
    expected = shape if len(shape) == 2 else (shape[0], 1)
    if values.shape != expected:
        raise InputError(
            f"{path}: has shape {values.shape}, config.json says that it is {expected}"
        )
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: holds NaN, infinity or a number too large for float32")
    return values.reshape(shape)


def load_model(model_dir, make_model):
    """The trained model of a run folder, from its config.json and weight files.

    make_model(settings) gives the untrained model. Returns the model and the settings (a
    dictionary). InputError: the folder holds no finished run, or a file in it is damaged.
    """
    settings = run_folder.read_settings(model_dir)
    model = make_model(settings)
    read_weights(model, model_dir)
    return model, settings
