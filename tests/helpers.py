"""What several test files need: the files of runs, a small run, and models of known answers."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from training.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = str(ROOT / "data" / "mnist_sample.npz")
SMALL = (
    "--data_dim 3 --n_dim 2 --n_width 5 --batch_size 13 --training_data_size 38 --n_epoch 3 "
    "--lr 0.02 --seed 7 --keep last"
).split()  # 38 rows: two batches of 13 and one of 12
FEW_STEPS = "--training_data_size 14 --n_epoch 1".split()  # a batch of 13 and one of 1
PARAMETERS = [
    *(f"Encoder_{kind}{number}.dat" for number in "123" for kind in "Wb"),
    *(f"Decoder_{kind}{number}.dat" for number in "456" for kind in "Wb"),
]


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(path):
    """The rows of a .csv file as dictionaries of text."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder):
    """Every file under a folder with its bytes, every folder with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def noise(*shape, seed=0):
    """Standard normal numbers, float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def npy_file(folder, array):
    np.save(folder / "x.npy", array)
    return folder / "x.npy"


def text_file(folder, content, name="x.dat"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal_of(load, path, **options):
    """What the InputError of load(path) says after the name of the file or folder."""
    with pytest.raises(InputError) as caught:
        load(path, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def weights(folder):
    """The bytes of the weight files of a run, by name."""
    paths = [*folder.glob("Encoder_*.dat"), *folder.glob("Decoder_*.dat")]
    return {path.name: path.read_bytes() for path in sorted(paths)}


def history(folder):
    """The rows of history.csv as text, without the times."""
    rows = rows_of(folder / "history.csv")
    return [{name: text for name, text in row.items() if name != "seconds"} for row in rows]


def change_config(folder, **changes):
    """Change the config.json of a run; ... takes a setting out."""
    settings = read_json(folder / "config.json") | changes
    kept = {name: value for name, value in settings.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept), encoding="utf-8")


def numpy_network(folder, name, inputs, activation="relu", min_log_std=None):
    """Mean and log_std of Encoder or Decoder, computed from the text of their weights, float64."""
    activate = {"relu": lambda a: np.maximum(a, 0.0), "tanh": np.tanh, "linear": lambda a: a}
    paths = sorted(folder.glob(f"{name}_W*.dat"))
    for path in paths:
        bias = np.loadtxt(folder / path.name.replace("_W", "_b"), ndmin=1)
        outputs = inputs @ np.loadtxt(path, ndmin=2) + bias
        inputs = activate[activation](outputs)
    mean, log_std = np.split(outputs, 2, axis=-1)
    if min_log_std is not None:
        log_std = min_log_std + np.logaddexp(0.0, log_std - min_log_std)
    return mean, log_std


def numpy_log_px(folder, x, n_draws, seed):
    """log p(x) of rows x (N, D) by importance sampling from q(z|x), and its standard error."""
    mean, log_std = numpy_network(folder, "Encoder", x)
    z = np.random.default_rng(seed).normal(mean, np.exp(log_std), (n_draws, *mean.shape))
    x_mean, x_log_std = numpy_network(folder, "Decoder", z)
    log_w = np.sum(norm.logpdf(x, x_mean, np.exp(x_log_std)), axis=-1)
    log_w += np.sum(norm.logpdf(z) - norm.logpdf(z, mean, np.exp(log_std)), axis=-1)
    log_px = logsumexp(log_w, axis=0) - np.log(n_draws)
    return log_px, np.exp(log_w - log_px).std(axis=0) / np.sqrt(n_draws)


def set_affine(network, matrix, constant):
    """Give a ReLU network the weights with which it computes inputs @ matrix + constant."""
    n_in = len(matrix)
    signs = np.hstack([np.eye(n_in), -np.eye(n_in)])  # a = relu(a) - relu(-a)
    first, second, head = (layer for layer in network.layers if layer.weights)
    for layer, block in [(first, signs), (second, np.eye(2 * n_in)), (head, signs.T @ matrix)]:
        kernel = np.zeros(layer.kernel.shape)
        kernel[: block.shape[0], : block.shape[1]] = block
        layer.set_weights([kernel, np.zeros(layer.bias.shape)])
    head.bias.assign(constant)


def affine_vae(weights, noise_std, encoder, posterior_std, mean, z_mean=0.0, decoder_std="learned"):
    """A VAE with ReLU networks that are affine.

    p(x|z) has the mean weights @ z + mean (data_dim,) and the std noise_std (data_dim,); q(z|x) the
    mean (x - mean) @ encoder + z_mean (n_dim,) and the std posterior_std (n_dim,).
    """
    from vae_models import VAE

    data_dim, n_dim = weights.shape
    width = 2 * max(data_dim, n_dim)
    model = VAE(data_dim, n_dim, (width + 1, width), decoder_std=decoder_std)
    set_affine(
        model.encoder.network,
        np.hstack([encoder, np.zeros((data_dim, n_dim))]),
        np.hstack([z_mean - mean @ encoder, np.log(posterior_std)]),
    )
    set_affine(
        model.decoder.network,
        np.hstack([weights.T, np.zeros((n_dim, data_dim))]),
        np.hstack([mean, np.log(noise_std)]),
    )
    return model


def assert_gradients(cost, weights):
    """The gradient of cost() in each of the weights is that of central differences, and not 0.

    Along a random direction, which an error of any one number changes.
    """
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = cost()
    assert value.dtype == tf.float64
    gradients = tape.gradient(value, weights)
    rng = np.random.default_rng(1)
    for weight, gradient in zip(weights, gradients, strict=True):
        start, direction = weight.numpy(), rng.standard_normal(weight.shape)
        weight.assign(start + 1e-6 * direction)
        above = cost()
        weight.assign(start - 1e-6 * direction)
        slope = float(above - cost()) / 2e-6
        weight.assign(start)
        assert abs(slope) > 1e-6
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-5, atol=1e-7)


def exact_numbers(optimum, mean, covariance, beta):
    """The report's numbers of the best linear VAE, from the joint Gaussian of x and z alone."""
    weights, psi = optimum.weights, optimum.noise_variances
    variances = np.diag(optimum.posterior_covariance)
    encoder = (weights / psi[:, None] * variances / beta).T  # z = encoder (x - mean) + noise
    of_z = encoder @ covariance @ encoder.T + np.diag(variances)
    of_x_given_z = covariance - covariance @ encoder.T @ np.linalg.solve(of_z, encoder @ covariance)
    entropy = multivariate_normal(mean, covariance).entropy()
    rate = 0.5 * np.sum(np.diag(of_z) - 1.0 - np.log(variances))
    information = 0.5 * (np.linalg.slogdet(of_z)[1] - np.sum(np.log(variances)))
    left = np.eye(len(psi)) - weights @ encoder  # x - E[x|z] = left (x - mean) - weights noise
    errors = left @ covariance @ left.T + weights @ np.diag(variances) @ weights.T
    log_px_z = -0.5 * np.sum(np.log(2 * np.pi * psi) + np.diag(errors) / psi)
    of_model = weights @ weights.T + np.diag(psi)
    ratio = np.linalg.solve(of_model, covariance)
    gap_model = 0.5 * (np.trace(ratio) - len(psi) - np.linalg.slogdet(ratio)[1])
    each = 0.5 * np.log(2 * np.pi * np.e * np.diag(of_x_given_z))
    return {
        "elbo_train": log_px_z - rate,
        "elbo_held_out": log_px_z - rate,
        "optimum": -entropy,
        "gap": -entropy - log_px_z + rate,
        "gap_model": gap_model,
        "gap_encoder": -entropy - gap_model - log_px_z + rate,
        "log_px": -entropy - gap_model,
        "rate": rate,
        "log_px_z": log_px_z,
        "distortion": np.trace(errors),
        "cost_held_out": beta * rate - log_px_z,
        "cost": beta * rate - log_px_z,
        "cost_gap": 0.0,
        "mutual_information": information,
        "aggregate_kl": rate - information,
        "conditional_total_correlation": np.sum(each) - entropy + information,
        "decoder_mismatch": -log_px_z - np.sum(each),
        "covariance_error": np.linalg.norm(of_model - covariance) / np.linalg.norm(covariance),
    }
