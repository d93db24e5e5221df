"""The final report of a run on Gaussian data: every number beside its reference, in nats.

docs/report.md explains each key of report.json.
"""

import math

import numpy as np
import tensorflow as tf

from analysis import evaluation, information, latent, linear_vae
from analysis.comparison import relative_error
from analysis.normality import mardia_test
from training.random_streams import stream

REPORT_ROWS = 20_000  # at most so many rows are evaluated, of each kind
REPORT_Z = 2**20  # about so many draws of z for the held-out rows
COVARIANCE_SAMPLES = 100_000
OPTIMUM_ROWS = 1_000_000  # the training rows' optimum is a mean over at most so many
CLEARLY_NOT_GAUSSIAN = 0.001  # a p-value of Mardia's test below this
MAY_BE_NULL = (  # each with its standard error
    "optimum gap gap_model cost_gap linear_log_px conditional_total_correlation decoder_mismatch "
    "covariance_error"
).split()
EXACT = (  # of the best linear VAE, as fields of linear_vae.Optimum
    "cost distortion active_units gap_model gap_encoder covariance_error "
    "conditional_total_correlation"
).split()


def followed_elbo(model, data, seed, epoch):
    """The mean ELBO of the followed rows, one draw of z each: what every epoch shows."""
    if data.x_validation is not None:
        epoch = 0  # the same draws in every epoch
    return evaluation.mean_elbo(model, data.followed[:REPORT_ROWS], (seed, "epoch", epoch))


def make_report(model, data, settings):
    """The metrics of a trained model, a dictionary, and the best linear VAE or None.

    data: a data_processing.Data. settings: of the run. Without a known distribution the reference
    is the Gaussian fitted to the training rows; where their covariance is singular there is none,
    and its metrics are None.
    """
    x, seed, beta = data.x_held_out[:REPORT_ROWS], settings.seed, settings.beta
    in_units = data.in_data_units(x)
    decoder_std = settings.decoder_std
    x_train, n_draws = data.training_sample(REPORT_ROWS), int(np.clip(REPORT_Z // len(x), 16, 1024))
    rows, held_out = evaluation.rows_of_report(model, x_train, x, n_draws, seed, beta)
    rows["log_px"] = held_out.log_px_corrected
    rows["gap_encoder"] = rows["log_px"] - held_out.elbo
    mean_z, log_std_z = evaluation.encode(model, x)
    knowledge = latent.latent_information(mean_z, log_std_z, (seed, "report", 3))
    reference = data.reference()
    mean, covariance = reference.mean, reference.covariance
    known = reference_metrics(data, covariance)
    best = None
    rest = {"common_information": None, "common_information_units": None, "beta_thresholds": None}
    if known["optimum_is"] is not None:
        rows["optimum"] = reference.log_density(in_units)
        rows["gap"] = rows["optimum"] - held_out.elbo
        rows["gap_model"] = rows["optimum"] - rows["log_px"]
        best = linear_vae.optimum(covariance, model.n_dim, beta, decoder_std, settings.min_log_std)
        common = information.common_information(covariance)
        thresholds = linear_vae.beta_thresholds(covariance, model.n_dim, decoder_std)
        rest = {
            "common_information": common.nats,
            "common_information_units": common.units,
            "beta_thresholds": thresholds.tolist(),
            **latent.dependence_metrics(
                in_units, mean, covariance, mean_z, log_std_z, held_out.log_px_z
            ),
            **covariance_metrics(model, covariance, seed),
        }
    if best is not None:
        of_rows = linear_vae.cost_of_rows(best, beta, in_units, mean, covariance)
        rows["cost_gap"] = rows["cost_held_out"] - of_rows
    if settings.data_path is not None:
        rows |= linear_log_px(data, in_units, model.n_dim, decoder_std)

    report = {"beta": beta, **latent.latent_units(mean_z, log_std_z).metrics(), **known}
    for name in MAY_BE_NULL:
        report |= {name: None, f"{name}_se": None}
    report |= evaluation.means(rows) | knowledge | rest
    # The next order of the bias of log p(x), after the first has been taken out.
    bias = float(np.mean(held_out.log_px_se**4))
    for name in {"log_px", "gap_model", "gap_encoder"} & rows.keys():
        report[f"{name}_se"] = math.hypot(report[f"{name}_se"], bias)
    report["effective_samples"] = float(np.median(held_out.effective_samples))
    report["log_px_draws"] = n_draws
    report["rows_train"], report["rows_held_out"] = len(x_train), len(x)
    report["elbo"] = report["elbo_held_out"]
    report["cost"] = best.cost + report["cost_gap"] if best else report["cost_held_out"]
    report["cost_se"] = report["cost_gap_se"] if best else report["cost_held_out_se"]
    report |= {f"{name}_exact": best and getattr(best, name) for name in EXACT}
    report["rate_exact"] = best.kl if has_rate(best, settings) else None
    return report, best


def has_rate(best, settings):
    """Whether the best linear VAE has a KL: not where it copies a coordinate, and both diverge."""
    return best is not None and (best.attained or settings.min_log_std is not None)


def reference_metrics(data, covariance):
    """What the Gaussian reference is, and for data of unknown distribution whether it applies."""
    if data.known is not None:
        return {"optimum_is": "exact", "gaussian_p": None, "gaussian_applies": True}
    try:
        information.check_covariance(covariance)
    except ValueError as error:
        none = {"optimum_is": None, "gaussian_p": None, "gaussian_applies": False}
        return none | {"why": str(error)}
    p_value = mardia_test(data.training_sample(REPORT_ROWS))
    applies = p_value is None or p_value > CLEARLY_NOT_GAUSSIAN
    return {"optimum_is": "estimate", "gaussian_p": p_value, "gaussian_applies": applies}


def linear_log_px(data, x, n_dim, decoder_std):
    """log p(x) of the rows of x under the best linear VAE for the training rows, (N,), by its name.

    The linear VAE of highest likelihood: factor analysis for a learned std, probabilistic PCA for a
    shared one. Nothing where the training rows have a singular covariance.
    """
    fitted = data.fitted()
    try:
        best = linear_vae.optimum(fitted.covariance, n_dim, 1.0, decoder_std)
    except ValueError:
        return {}
    gaussian = information.Gaussian(fitted.mean, best.model_covariance)
    return {"linear_log_px": gaussian.log_density(x)}


def covariance_metrics(model, covariance, seed):
    """How far the covariance of the model's x is from the given one, relative, Frobenius norms.

    z is drawn from the prior, whose moments are known; E[x|z] and Var(x|z) need no draws of x.
    """
    z = stream(seed, "report", 4).standard_normal((COVARIANCE_SAMPLES, model.n_dim))
    blocks = np.array_split(z.astype(np.float32), math.ceil(len(z) / evaluation.Z_BATCH))
    parts = [model.decode(tf.constant(block)) for block in blocks]
    means, log_stds = (np.concatenate(side).astype(np.float64) for side in zip(*parts, strict=True))
    if model.standardization is not None:
        means = model.standardization.undo(means)
        log_stds += np.log(model.standardization.std)
    variances = np.exp(2.0 * log_stds)
    weights, residuals = latent.regress(z, means)
    of_model = weights.T @ weights + residuals.T @ residuals / len(z)
    of_model += np.diag(variances.mean(axis=0))
    error = relative_error(of_model, covariance)
    difference = of_model - covariance
    slope = difference / max(np.linalg.norm(difference), 1e-300) / np.linalg.norm(covariance)
    changes = np.sum(((2.0 * z @ weights + residuals) @ slope) * residuals, axis=1)
    changes += variances @ np.diag(slope)
    se = evaluation.standard_error(changes)
    return {"covariance_error": float(error), "covariance_error_se": se}
