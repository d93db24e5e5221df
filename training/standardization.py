"""Rows in the units of the networks: centred and scaled in float64, where they are first touched.

float32 holds seven digits, too few for a column that lies far from zero, such as a time in Unix
seconds. So each column loses its mean and is divided by its std in float64, and only then becomes
float32. Where the columns are not standardized, those far from zero still lose their means.
Training and evaluation see nothing else. Three things lead back to the units of the data:

- log p(x) = log p(u) - sum_j log std_j for the standardized row u: the model adds this constant;
- generated rows are mean + std * u in float64;
- the weight files are those of a network of x itself: the first layer of the encoder and the last
  one of the decoder take the means and stds in, in float64.
"""

from dataclasses import dataclass

import numpy as np

FAR = 100  # stds from zero: float32 would round such a column to 1e-5 of its std


@dataclass(frozen=True, eq=False)
class Standardization:
    """mean, std: (data_dim,) float64; u = (x - mean) / std."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def from_settings(cls, values):
        """That of a config.json: two lists, or None."""
        if values is None:
            return None
        return cls(np.array(values["mean"], np.float64), np.array(values["std"], np.float64))

    def apply(self, x):
        """Rows x (N, data_dim) in units of the data -> standardized rows, float32."""
        return (centered(x, self.mean) / self.std).astype(np.float32)

    def undo(self, u):
        """Standardized rows -> rows in units of the data, float64."""
        return self.mean + self.std * np.float64(u)

    @property
    def log_scale(self):
        """sum_j log std_j: what log p(x) lies below log p(u), in nats."""
        return float(np.sum(np.log(self.std)))


def centered(x, mean):
    """x - mean in float64, (N, D); integers of 64 bits have more digits than a float64."""
    if x.dtype.kind in "iu" and x.dtype.itemsize == 8:
        return ((x >> 32) * 2.0**32 - mean) + (x & 0xFFFFFFFF)
    return x.astype(np.float64) - mean


def moments(x):
    """Mean (data_dim,) and covariance (data_dim, data_dim) of the rows of x, in float64.

    x: an array (N, data_dim) or large_data.TrainingRows, which has them.
    """
    if not isinstance(x, np.ndarray):
        return x.mean, x.covariance
    origin = np.float64(x[0])
    from_origin = centered(x, origin)
    covariance = np.atleast_2d(np.cov(from_origin, rowvar=False))
    return origin + from_origin.mean(axis=0), covariance


def standardization_of(mean, std):
    """That of columns with these means and stds; the std of a constant column is 1."""
    return Standardization(mean, np.where(std > 0, std, 1.0))


def centering_of(mean, std):
    """The means of the columns that lie far from zero, with stds of 1; None if none does."""
    far = (std > 0) & (np.abs(mean) > FAR * std)
    if not far.any():
        return None
    return Standardization(np.where(far, mean, 0.0), np.ones(len(mean)))


def weights_for_data(values, standardization):
    """The weights of a network of u, name -> array, as those of a network of x, float64.

    In the decoder's head: mean_x = mean + std * mean_u, log_std_x = log_std_u + log std.
    """
    mean, std = standardization.mean, standardization.std
    values = {name: np.float64(value) for name, value in values.items()}
    head_W, head_b = list(values)[-2:]
    scale = np.concatenate([std, np.ones(len(std))])
    values["Encoder_W1.dat"] = values["Encoder_W1.dat"] / std[:, np.newaxis]
    values["Encoder_b1.dat"] = values["Encoder_b1.dat"] - mean @ values["Encoder_W1.dat"]
    values[head_W] = values[head_W] * scale
    values[head_b] = values[head_b] * scale + np.concatenate([mean, np.log(std)])
    return values


def weights_for_standardized(values, standardization):
    """The inverse of weights_for_data: x is u standardized by -mean / std and 1 / std."""
    mean, std = standardization.mean, standardization.std
    return weights_for_data(values, Standardization(-mean / std, 1.0 / std))
