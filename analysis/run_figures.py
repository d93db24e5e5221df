"""The pictures of a finished run on Gaussian data."""

import numpy as np

from analysis import evaluation, figures, sampling
from analysis.gaussian_report import OPTIMUM_ROWS, REPORT_ROWS, has_rate
from analysis.information import Gaussian


def draw_run(folder, model, data, settings, history, report, best):
    """The pictures of a finished run, into its folder figures/; best: a linear_vae.Optimum."""
    folder = folder / "figures"
    followed = "elbo_held_out" if data.x_validation is None else "elbo_validation"
    x, reference = data.x_held_out[:REPORT_ROWS], data.reference()
    raw, mean, covariance = data.in_data_units(x), reference.mean, reference.covariance
    optima = linear = None
    if report["optimum"] is not None:
        log_px = reference.log_density(data.in_data_units(data.training_sample(OPTIMUM_ROWS)))
        optima = np.mean(log_px), report["optimum"]
    if best is not None:
        posterior = best.posterior_covariance
        encoder = posterior @ best.weights.T / (report["beta"] * best.noise_variances)
        linear = (raw - mean) @ encoder.T, np.sqrt(np.diag(posterior))
    columns = {
        name: np.array([row[name] for row in history])
        for name in ("epoch", "kl", "log_px_z", "elbo")
    }
    columns["elbo_held_out"] = np.array([row[followed] for row in history])
    figures.learning_curves(
        folder / "learning_curves.png",
        columns,
        optima,
        "exact log p(x)" if report["optimum_is"] == "exact" else "fitted Gaussian",
        best_linear=(best.kl, best.log_px_z) if has_rate(best, settings) else None,
        gap=optima and (report["gap"], report["gap_se"]),
    )
    z_mean, z_log_std = evaluation.encode(model, x)
    figures.latent_plane(
        folder / "latent_plane.png",
        z_mean,
        np.exp(z_log_std),
        color=(raw - mean) @ np.linalg.eigh(covariance)[1][:, -1],
        linear=linear,
    )
    samples = {
        "data": raw,
        "decoder": sampling.generate(model, REPORT_ROWS, settings.seed),
        "encoder-decoder": sampling.reconstruct(model, x, settings.seed),
    }
    known = isinstance(data.known, Gaussian)
    covariances = {} if data.known is None else {"true": data.known.covariance}
    for name, sample in samples.items():
        covariances[name] = np.atleast_2d(np.cov(sample, rowvar=False))
    figures.covariances(folder / "covariances.png", covariances)
    figures.pairwise_marginals(
        folder / "pairwise_marginals.png",
        samples,
        mean if known else None,
        covariance if known else None,
    )
