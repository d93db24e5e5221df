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
N_EPOCH = 10
MIXTURE_EPOCHS = 30  # a curve takes more steps than the plane of a Gaussian
STEPS = {"last": 3200, "best": 9600}  # at least, in more epochs; --keep best can afford more
OWN_TO_A_PROCESS = ("output_dir", "resume")  # not in config.json: where, and whether to go on


class Settings(types.SimpleNamespace):
    """All flags of a run by name, and what its data determine.

    data_dim, training_data_size, batch_size, n_epoch: also where the flags leave them open.
    standardization: the `mean` and `std` of each column that the rows are standardized with, two
    lists, or None; columns that only lose their means have a std of 1. Of images also image_shape,
    their height and width.
    """


NUMBER = int | float
ACTIVATIONS = ("relu", "tanh", "linear")
LR_SCHEDULES = ("cosine", "constant")
IMAGE_SCHEDULES = ("constant", "cosine", "steps", "burda2015")
# Every field of a config.json by name: its type, or the values to choose from.
EVERY_RUN = {
    "beta": NUMBER,
    "data_path": str | None,
    "data_dim": int,
    "n_dim": int,
    "n_width": list,
    "activation": ACTIVATIONS,
    "min_log_std": NUMBER | None,
    "n_epoch": int,
    "batch_size": int,
    "lr": NUMBER,
    "clip_norm": NUMBER | None,
    "keep": ("best", "last"),
    "seed": int,
    "tensorboard": bool,
    "distribute": (None, "mirrored", "multi_worker"),
}
GAUSSIAN_RUN = {
    "model": ("vae", "beta_vae"),
    "covariance_path": str | None,
    "mean_path": str | None,
    "mixture_path": str | None,
    "data_size": int,
    "training_data_size": int,
    "standardize": bool,
    "standardization": dict | None,
    "decoder_std": str | NUMBER,
    "lr_schedule": LR_SCHEDULES,
    "optimizer": ("adam", "sgd"),
    "weight_decay": NUMBER,
    **EVERY_RUN,
}
IMAGE_RUN = {
    "model": ("mnist_vae",),
    "image_shape": list,
    "binarization": ("dynamic", "static", "none"),
    "likelihood": ("bernoulli", "gaussian", "squared_error"),
    "batch_norm": bool,
    "output_bias": ("mean", "zero"),
    "objective": ("elbo", "iwae"),
    "n_samples": int,
    "warm_up": int,
    "lr_schedule": IMAGE_SCHEDULES,
    "lr_factor": NUMBER,
    "lr_every": int,
    "adam_epsilon": NUMBER,
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

    Weight decay pulls the networks towards independent normal x and z, as a prior of fixed
    strength would: its share falls with the number of rows. What no linear model fits, a mixture
    and most tables, bears less of it.
    """
    n_train = settings.training_data_size
    if settings.batch_size is None:
        settings.batch_size = min(BATCH_SIZE, max(1, n_train // 10))
    if settings.n_epoch is None:
        least = N_EPOCH if settings.mixture_path is None else MIXTURE_EPOCHS
        steps_per_epoch = math.ceil(n_train / settings.batch_size)
        settings.n_epoch = max(least, round(STEPS[settings.keep] / steps_per_epoch))
    if settings.weight_decay is None:
        if settings.standardize or settings.mixture_path is not None:
            settings.weight_decay = min(1.0, 250 / n_train)
        else:
            settings.weight_decay = min(0.5, 16_000 / n_train)


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
    fields = IMAGE_RUN if values["model"] == "mnist_vae" else GAUSSIAN_RUN
    for name, kind in fields.items():
        if name not in values:
            raise InputError(f"{path}: damaged ({name} is missing)")
        if not fits(values[name], kind):
            raise InputError(f"{path}: damaged ({name} is {values[name]!r})")
    settings = Settings(**{name: values[name] for name in fields})
    name = impossible_field(settings)
    if name is not None:
        raise InputError(f"{path}: damaged ({name} is {values[name]!r})")
    settings.output_dir = str(folder)
    settings.resume = False
    return settings


def fits(value, kind):
    """Whether a value is of this type, or among these values to choose from."""
    if isinstance(kind, tuple):
        return value in kind
    if isinstance(value, bool):  # in Python an int, too
        return kind is bool
    return isinstance(value, kind)


def is_size(value):
    return fits(value, int) and 1 <= value <= MAX_SIZE


def is_positive(value):
    return fits(value, NUMBER) and value > 0


def impossible_field(settings):
    """The name of a field with a size or a number that no run can have; None if there is none."""
    if not is_size(settings.data_dim):
        return "data_dim"
    if not is_size(settings.n_dim):
        return "n_dim"
    if not settings.n_width or not all(map(is_size, settings.n_width)):
        return "n_width"
    if settings.model == "mnist_vae":
        return None
    if settings.decoder_std not in ("learned", "shared") and not is_positive(settings.decoder_std):
        return "decoder_std"
    if settings.standardization is not None:
        means, stds = settings.standardization.get("mean"), settings.standardization.get("std")
        for numbers in (means, stds):
            if not isinstance(numbers, list) or len(numbers) != settings.data_dim:
                return "standardization"
        if not all(fits(v, NUMBER) for v in means) or not all(map(is_positive, stds)):
            return "standardization"
    return None
