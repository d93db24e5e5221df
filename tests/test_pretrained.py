"""The trained model that is shipped: it loads, draws digits, and scores as its own file says."""

import numpy as np
from helpers import ROOT, SAMPLE, contents, read_json

import mnist_vae_after_training
from analysis import evaluation
from images import data as image_data
from images import models as image_models
from training import saved_model

FOLDER = ROOT / "pretrained" / "mnist_burda2015"


def test_the_shipped_model_scores_other_test_images_as_its_own_file_says():
    model, settings = saved_model.load_model(FOLDER, image_models.make_model, ("mnist_vae",))
    x = image_data.get_images(SAMPLE, settings.binarization, settings.seed).x_test
    rows = evaluation.evaluate(model, x, 300, seed=3)  # fewer draws: a lower bound
    score = read_json(FOLDER / "log_likelihood.json")
    error = 4.0 * np.hypot(evaluation.standard_error(rows.log_px), score["log_px_se"])
    assert -error - 1.0 < rows.log_px.mean() - score["log_px"] < error
    assert score["n_importance"] == 5000 and score["images"] == 10_000


def test_digits_of_the_shipped_model_are_drawn_without_training(tmp_path):
    before = contents(FOLDER)
    flags = ["--model_dir", FOLDER, "--data_path", SAMPLE, "--output_dir", tmp_path / "new"]
    few = ["--n_images", "20", "--n_importance", "10"]
    mnist_vae_after_training.main([*map(str, flags), *few])
    assert contents(FOLDER) == before
    digits = np.load(tmp_path / "new" / "images.npz")["generated_means"]
    assert digits.shape == (25, 28, 28)
    assert np.all(digits.max(axis=(1, 2)) > 0.9)  # white strokes ...
    assert digits.mean() < 0.3  # ... on black
    assert (tmp_path / "new" / "figures" / "generated_means.png").exists()
