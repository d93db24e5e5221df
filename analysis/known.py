"""The known distribution of a run: a Gaussian or a mixture, read from text files and checked."""

from pathlib import Path

import numpy as np

from analysis.information import Gaussian, check_covariance
from analysis.mixture import Mixture
from training import tables
from training.errors import InputError, as_input

DATA_FOLDER = Path(__file__).resolve().parent.parent / "data"


def known_distribution(settings):
    """The known Gaussian or mixture of a run; None for a file whose distribution is not known.

    settings: the flags of a run, or its Settings. Text files; without any of them those of data/. A
    covariance alone has mean zero, a mean alone the covariance of data/. InputError: what they hold
    is no covariance, mean or mixture, or has not data_dim dimensions.
    """
    gives_gaussian = settings.covariance_path or settings.mean_path
    if settings.mixture_path and gives_gaussian:
        raise InputError("--mixture_path: give a mixture or a Gaussian, not both")
    if settings.mixture_path:
        place = settings.mixture_path
        table = tables.load_table(place, may_have_names=False)
        known = as_input(f"--mixture_path {place}", Mixture.from_table, table)
    elif gives_gaussian or settings.data_path is None:
        place = settings.covariance_path or "data/covariance.dat"
        known = known_gaussian(settings.covariance_path, settings.mean_path)
    else:
        return None
    if settings.data_dim not in (None, len(known.mean)):
        raise InputError(
            f"--data_dim {settings.data_dim}: {place} has {len(known.mean)} dimensions"
        )
    return known


def known_gaussian(covariance_path=None, mean_path=None):
    """The Gaussian of two text files; without any that of data/."""
    path = covariance_path or DATA_FOLDER / "covariance.dat"
    covariance = tables.load_table(path, may_have_names=False)
    as_input(f"--covariance_path {path}", check_covariance, covariance)
    if covariance_path and not mean_path:
        return Gaussian(np.zeros(len(covariance)), covariance)
    mean = tables.load_table(mean_path or DATA_FOLDER / "mean.dat", may_have_names=False).ravel()
    if len(mean) != len(covariance):
        raise InputError(
            f"--mean_path {mean_path}: has {len(mean)} numbers, but the covariance has "
            f"{len(covariance)} rows"
        )
    return Gaussian(mean, covariance)
