"""The settings of a run: made once when its data are known, kept in config.json, read back.

The model, the training, the report and the scripts after training all read the same Settings.
"""

import math
import types
from pathlib import Path

from training import run_folder
from training.errors import InputError

MAX_SIZE = 2**16  # of a layer; a config.json that asks for more is damaged
BATCH_SIZE = 250
N_EPOCH = 20
STEPS = {"last": 6400, "best": 9600}  # of few rows, in more epochs; --keep best may take longer
DECAY_ROWS = 250  # weight decay 1 up to as many rows, then as 1 / rows
OWN_TO_A_PROCESS = ("output_dir", "resume")  # not in config.json: where, and whether to go on


class Settings(types.SimpleNamespace):
    """Every flag of a run by name, completed by what its data decide.

    data_dim, training_data_size, batch_size, n_epoch: also where the flags leave them open.
    standardization: the `mean` and `std` of each column that the rows are standardized with, two
    lists, or None; columns that only lose their means have a std of 1. Of images also image_shape,
    their height and width.
    """


def is_text(value):
    return isinstance(value, str)


def is_yes_or_no(value):
    return isinstance(value, bool)


def is_size(value):
    return type(value) is int and 0 < value <= MAX_SIZE


def is_count(value):
    return type(value) is int and value >= 0


def is_number(value):
    return type(value) in (int, float) and math.isfinite(value)


def is_weight(value):
    return is_number(value) and value >= 0


def is_positive(value):
    return is_number(value) and value > 0


def is_list_of_sizes(value):
    return isinstance(value, list) and len(value) > 0 and all(map(is_size, value))


def is_decoder_std(value):
    return value in ("learned", "shared") or is_positive(value)


def is_standardization(value):
    """Whether it holds a mean and a std of each column."""
    if not isinstance(value, dict) or value.keys() != {"mean", "std"}:
        return False
    means, stds = value["mean"], value["std"]
    if not isinstance(means, list) or not isinstance(stds, list) or len(means) != len(stds):
        return False
    return all(map(is_number, means)) and all(map(is_positive, stds))


def one_of(*values):
    """A check for settings with few possible values."""
    return lambda value: value in values


def or_none(check):
    """A check for settings that may be missing, as null."""
    return lambda value: value is None or check(value)


# Every field of a config.json by name, and the check of what a run can have written there.
EVERY_RUN = {
    "beta": is_weight,
    "data_path": or_none(is_text),
    "data_dim": is_size,
    "n_dim": is_size,
    "n_width": is_list_of_sizes,
    "activation": one_of("relu", "tanh", "linear"),
    "min_log_std": or_none(is_number),
    "n_epoch": is_count,
    "batch_size": is_count,
    "lr": is_positive,
    "clip_norm": or_none(is_positive),
    "keep": one_of("best", "last"),
    "seed": is_count,
    "tensorboard": is_yes_or_no,
    "distribute": one_of(None, "mirrored", "multi_worker"),
}
GAUSSIAN_RUN = {
    "model": one_of("vae", "beta_vae"),
    "covariance_path": or_none(is_text),
    "mean_path": or_none(is_text),
    "mixture_path": or_none(is_text),
    "data_size": is_count,
    "training_data_size": is_count,
    "standardize": is_yes_or_no,
    "standardization": or_none(is_standardization),
    "decoder_std": is_decoder_std,
    "lr_schedule": one_of("cosine", "constant"),
    "optimizer": one_of("adam", "sgd"),
    "weight_decay": is_weight,
    **EVERY_RUN,
}
IMAGE_RUN = {
    "model": one_of("mnist_vae"),
    "image_shape": is_list_of_sizes,
    "binarization": one_of("dynamic", "static", "none"),
    "likelihood": one_of("bernoulli", "gaussian", "squared_error"),
    "batch_norm": is_yes_or_no,
    "output_bias": one_of("mean", "zero"),
    "objective": one_of("elbo", "iwae"),
    "n_samples": is_size,
    "warm_up": is_count,
    "lr_schedule": one_of("constant", "cosine", "steps", "burda2015"),
    "lr_factor": is_positive,
    "lr_every": is_count,
    "adam_epsilon": is_positive,
    **EVERY_RUN,
}


def make_settings(args, data):
    """The Settings of a run on a data_processing.Data; args: the parsed flags of its main."""
    settings = Settings(**vars(args))
    settings.beta = getattr(args, "beta", 1.0)  # a VAE is the beta-VAE at beta = 1
    settings.data_path = absolute(args.data_path)
    settings.training_data_size, settings.data_dim = data.x_train.shape
    settings.standardization = None
    if data.standardization is not None:
        settings.standardization = {
            "mean": data.standardization.mean.tolist(),
            "std": data.standardization.std.tolist(),
        }
    complete_sizes(settings)
    return settings


def complete_sizes(settings):
    """Mini-batches, epochs and weight decay for the training rows, where the flags leave them open.

    Weight decay pulls the networks of standardized rows towards independent standard normal x and
    z, as a prior of fixed strength would: its share falls with the number of rows.
    """
    n_train = settings.training_data_size
    if settings.batch_size is None:
        settings.batch_size = min(BATCH_SIZE, max(1, n_train // 10))
    if settings.n_epoch is None:
        steps_per_epoch = math.ceil(n_train / settings.batch_size)
        settings.n_epoch = max(N_EPOCH, round(STEPS[settings.keep] / steps_per_epoch))
    if settings.weight_decay is None:
        decay = min(1.0, DECAY_ROWS / n_train)
        settings.weight_decay = decay if settings.standardize else 0.0


def make_image_settings(args, images):
    """The Settings of a run on images, an images.data.Images; args: its parsed flags."""
    settings = Settings(**vars(args))
    settings.data_path = absolute(args.data_path)
    settings.data_dim = images.x_train.shape[1]
    settings.image_shape = list(images.image_shape)
    return settings


def absolute(path):
    """A path that stays right when a run is read from another folder; None where there is none."""
    return None if path is None else str(Path(path).resolve())


def as_dictionary(settings):
    """What config.json keeps of the settings."""
    return {name: v for name, v in vars(settings).items() if name not in OWN_TO_A_PROCESS}


def read_config(folder, kinds):
    """The Settings in the config.json of a run folder; kinds: which `model` they may be of.

    InputError: there is none, it is of another kind, or a field is missing or can't be right.
    """
    path = Path(folder) / "config.json"
    mains = " or ".join(f"{kind}_main.py" for kind in kinds)
    if not path.exists():
        raise InputError(f"no trained model in {folder}: run {mains}, or set --model_dir")
    values = run_folder.read_json(path)
    if values.get("model") not in kinds:
        raise InputError(f"{path}: its model is {values.get('model')}, not {' or '.join(kinds)}")
    checks = IMAGE_RUN if values["model"] == "mnist_vae" else GAUSSIAN_RUN
    for name, holds in checks.items():
        if name not in values:
            raise InputError(f"{path}: damaged ({name} is missing)")
        if not holds(values[name]):
            raise InputError(f"{path}: damaged ({name} is {values[name]!r})")
    settings = Settings(**{name: values[name] for name in checks})
    columns = settings.standardization["mean"] if getattr(settings, "standardization", 0) else None
    if columns is not None and len(columns) != settings.data_dim:
        raise InputError(f"{path}: damaged (standardization has {len(columns)} columns)")
    settings.output_dir = str(folder)
    settings.resume = False
    return settings
