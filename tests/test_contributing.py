"""The likelihood that CONTRIBUTING.md adds: its blocks are put in and trained, as it says."""

import re
import shlex
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers import ROOT
from scipy import stats

import mnist_vae_main
from images import models as image_models
from images import report as image_report
from training import run_folder, saved_model, settings

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def changed(module, diffs):
    """The source of a module after these diffs of CONTRIBUTING.md."""
    source = Path(module.__file__).read_text(encoding="utf-8")
    for diff in diffs:
        old = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] != "+")
        new = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] != "-")
        assert source.count(old) == 1, diff
        source = source.replace(old, new)
    return source


@pytest.fixture(scope="module")
def with_laplace():
    """The module image_models after the steps of CONTRIBUTING.md."""
    (added,) = blocks("python")
    source = changed(image_models, blocks("diff")[:-1])
    source = source.replace("\n\nMODELS = {", f"\n\n{added}\n\nMODELS = {{")
    module = types.ModuleType("image_models")
    exec(source, vars(module))  # noqa: S102
    return module


def test_the_added_likelihood_is_that_of_scipy(with_laplace):
    rng = np.random.default_rng(0)
    x, mean, log_scale = np.float32(rng.normal(size=(3, 4, 5)))
    expected = stats.laplace.logpdf(x, mean, np.exp(log_scale)).sum(axis=1)
    found = with_laplace.laplace_log_likelihood(x, mean, log_scale)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_samples_of_the_added_likelihood_are_distributed_by_it(with_laplace):
    model = with_laplace.LaplaceVAE(3, 2, (5, 7))
    model.decoder.network.layers[-1].bias.assign([1.0, -2.0, 0.5, -1.0, 0.0, 1.0])
    z = tf.zeros((20_000, 2))
    mean, log_scale = (part[0].numpy() for part in model.decode(z))
    samples = model.decoder_sample(z, (1, 2)).numpy()
    for column, m, s in zip(samples.T, mean, np.exp(log_scale), strict=True):
        assert stats.kstest(column, stats.laplace(m, s).cdf).pvalue > 0.001


def test_the_added_likelihood_trains_by_the_command_that_is_shown(
    with_laplace, monkeypatch, tmp_path
):
    monkeypatch.setattr(mnist_vae_main, "image_models", with_laplace)
    monkeypatch.setattr(image_report, "image_models", with_laplace)
    new_settings = {"__name__": "settings"}
    exec(changed(settings, blocks("diff")[-1:]), new_settings)  # noqa: S102
    monkeypatch.setattr(settings, "IMAGE_RUN", new_settings["IMAGE_RUN"])
    monkeypatch.chdir(ROOT)
    (command,) = re.findall(r"^    python mnist_vae_main.py (.*)$", TEXT, re.MULTILINE)
    small = f"--n_epoch 2 --n_width 9 --n_dim 3 --batch_size 60 --output_dir {tmp_path / 'run'}"
    mnist_vae_main.main(shlex.split(command) + small.split())
    report = run_folder.read_json(tmp_path / "run" / "report.json")
    history = np.genfromtxt(tmp_path / "run" / "history.csv", delimiter=",", names=True)
    assert history["elbo"][1] > history["elbo"][0]
    assert "density" in report["elbo_is"]
    model, _ = saved_model.load_model(tmp_path / "run", with_laplace.make_model, ("mnist_vae",))
    assert isinstance(model, with_laplace.LaplaceVAE)
