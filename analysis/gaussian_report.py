"""The final report of a run on Gaussian data: every number beside its reference, in nats.

docs/report.md explains each key of report.json.
"""

import math

import numpy as np

from analysis import evaluation, gaps, information, latent, linear_vae
from analysis.evaluation import REPORT_ROWS
from analysis.information import Gaussian, relative_error
from analysis.normality import mardia_test
from training.errors import Stopped
from training.random_streams import stream

REPORT_Z = 2**19  # draws of z for all the held-out rows, about
REPORT_NUMBERS = 2**25  # numbers of x that belong to them, at most
CHECKED_Z = 2**17  # draws of z for rows of the model's own, at most
COVARIANCE_SAMPLES = 100_000  # of the prior, for the covariance of the model's x, at most
COVARIANCE_NUMBERS = 2**22
CLEARLY_NOT_GAUSSIAN = 0.001  # a p-value of Mardia's test below this
OF_BEST = (  # of an Optimum: keys of a report that end in _exact
    "cost distortion active_units gap_model gap_encoder conditional_total_correlation "
    "covariance_error"
).split()


def make_report(model, data, settings):
    """The metrics of a trained model, a dictionary, and the best linear VAE or None.

    data: a data_processing.Data. settings: of the run. Without a known distribution the reference
    is the Gaussian fitted to the training rows; where their covariance is singular there is none.
    What does not apply, or would take too long for wide data, is None. Stopped: a held-out row lies
    so far from the training rows that its ELBO is not finite.
    """
    x = data.x_held_out[:REPORT_ROWS]
    x_train = data.x_train[:REPORT_ROWS]
    beta, seed = settings.beta, settings.seed
    n_z = min(REPORT_Z, REPORT_NUMBERS // model.data_dim)
    n_draws = int(np.clip(n_z // len(x), 16, 1024))
    rows, held_out = evaluation.rows_of_report(model, x_train, x, n_draws, seed, beta)
    n_lost = np.count_nonzero(~np.isfinite(held_out.elbo))
    if n_lost > 0:
        raise Stopped(
            "held-out rows so far from the training rows that their ELBO is not finite: "
            f"{n_lost} of {len(x)}; weights and history are in {settings.output_dir}, for a report "
            "train again without such rows"
        )
    rows["log_px"] = held_out.log_px_corrected
    rows["gap_encoder"] = rows["log_px"] - held_out.elbo
    mean_z, log_std_z = evaluation.encode(model, x)
    knowledge = latent.latent_information(mean_z, log_std_z, (seed, "report", 3))

    reference, about_reference = find_reference(data)
    gaussian = reference if isinstance(reference, Gaussian) else None
    best = None
    if gaussian is not None:
        best = linear_vae.optimum(
            gaussian.covariance, model.n_dim, beta, settings.decoder_std, settings.min_log_std
        )
    dependence = latent.no_dependence()
    if about_reference["gaussian_applies"]:
        dependence = dependence_metrics(model, data, knowledge, seed)
    raw = data.in_data_units(x)
    rows |= dict.fromkeys(["optimum", "gap", "gap_model", "cost_gap"])
    if reference is not None:
        rows["optimum"] = reference.log_density(raw)
        rows["gap"] = rows["optimum"] - rows["elbo_held_out"]
        rows["gap_model"] = rows["optimum"] - rows["log_px"]
    if best is not None:
        lowest = linear_vae.cost_of_rows(best, beta, raw, gaussian.mean, gaussian.covariance)
        rows["cost_gap"] = rows["cost_held_out"] - lowest
    linear = linear_log_px(data, raw, settings)
    rows["linear_log_px"] = linear
    rows["gain_over_linear"] = None if linear is None else rows["log_px"] - linear

    few = held_out.effective_samples < evaluation.FEW_EFFECTIVE
    report = {
        "beta": beta,
        **latent.latent_units(mean_z, log_std_z).metrics(),
        **about_reference,
        **evaluation.means(rows),
        **gaps.metrics(model, x[: gaps.affordable_rows(model)], seed),
        **knowledge,
        **dependence,
        **covariance_metrics(model, reference, seed),
        **gaussian_metrics(gaussian, best, settings),
        "effective_samples": float(np.median(held_out.effective_samples)),
        "log_px_draws": n_draws,
        "log_px_doubtful_rows": float(np.mean(few)),
        "rows_train": len(x_train),
        "rows_held_out": len(x),
    }
    n_checked = min(2000, CHECKED_Z // n_draws)
    missed = evaluation.missed_share(model, n_checked, n_draws, (seed, "report", 7), beta)
    report |= evaluation.means({"log_px_missed": missed})
    # What the estimate lacks, and the next order of its bias after the first has been taken out.
    bias = math.hypot(np.mean(held_out.log_px_se**4), max(0.0, report["log_px_missed"]))
    for name in ("log_px", "gap_model", "gap_encoder", "gain_over_linear"):
        if report[name] is not None:
            report[f"{name}_se"] = math.hypot(report[f"{name}_se"], bias)
    report["elbo"] = report["elbo_held_out"]
    report["cost"] = report["cost_held_out"]
    report["cost_se"] = report["cost_held_out_se"]
    if best is not None and report["optimum_is"] == "exact":  # without the luck of the rows
        report["cost"] = best.cost + report["cost_gap"]
        report["cost_se"] = report["cost_gap_se"]
    return report, best


def find_reference(data):
    """The distribution that the rows are judged by, or None; and what the report says of it."""
    reference = data.reference()
    if data.known is not None:
        applies = isinstance(reference, Gaussian)
        return reference, {"optimum_is": "exact", "gaussian_p": None, "gaussian_applies": applies}
    about = {"optimum_is": None, "gaussian_p": None, "gaussian_applies": False}
    try:
        information.check_covariance(reference.covariance)
    except ValueError as error:
        return None, {**about, "why": str(error)}
    p = mardia_test(data.x_train[:REPORT_ROWS])
    applies = p is None or p > CLEARLY_NOT_GAUSSIAN
    return reference, {"optimum_is": "estimate", "gaussian_p": p, "gaussian_applies": applies}


def linear_log_px(data, raw, settings):
    """log p(x) of rows in data units under the linear VAE of highest likelihood, (N,), or None.

    Factor analysis for a learned std, probabilistic PCA for a shared one, fitted to the training
    rows of a file. For a known mixture the moments are exact. None for drawn Gaussian data, whose
    best linear VAE the report has anyway.
    """
    if settings.data_path is None and isinstance(data.known, Gaussian):
        return None
    fitted = data.known if settings.data_path is None else data.fitted
    try:
        best = linear_vae.optimum(fitted.covariance, settings.n_dim, 1.0, settings.decoder_std)
    except ValueError:  # a singular covariance
        return None
    if best is None:  # too wide
        return None
    return Gaussian(fitted.mean, best.model_covariance).log_density(raw)


def gaussian_metrics(gaussian, best, settings):
    """What is known exactly of a Gaussian reference and of its best linear VAE; None without."""
    metrics = dict.fromkeys(
        "common_information common_information_units total_correlation beta_thresholds "
        "cost_bound bound_holds_for".split()
    )
    metrics |= dict.fromkeys(f"{name}_exact" for name in ["rate", *OF_BEST])
    kind = settings.decoder_std, settings.min_log_std
    if gaussian is not None:
        metrics["total_correlation"] = information.total_correlation(gaussian.covariance)
        common = information.common_information(gaussian.covariance)
        if common is not None:
            metrics["common_information"] = common.nats
            metrics["common_information_units"] = common.units
        thresholds = linear_vae.beta_thresholds(gaussian.covariance, settings.n_dim, *kind)
        if thresholds is not None:
            metrics["beta_thresholds"] = thresholds.tolist()
    if best is not None:
        bound = linear_vae.cost_bound(gaussian.covariance, settings.beta, *kind)
        is_bound = bound is not None and best.cost < bound + 1e-6  # with n_dim units or fewer
        metrics["cost_bound"] = bound
        metrics["bound_holds_for"] = "all" if is_bound else "linear"
        for name in OF_BEST:
            metrics[f"{name}_exact"] = getattr(best, name)
        if best.has_rate:
            metrics["rate_exact"] = best.kl
    return metrics


def dependence_metrics(model, data, knowledge, seed):
    """latent.dependence, with rows drawn from a known Gaussian, or with the held-out rows."""
    reference, units = data.reference(), data.standardization
    if units is not None:  # to the units of the networks
        mean = (reference.mean - units.mean) / units.std
        reference = Gaussian(mean, reference.covariance / np.outer(units.std, units.std))
    if data.known is None:
        x, n_fitted = data.x_held_out[:REPORT_ROWS], len(data.x_train)
    else:
        n_rows, n_fitted = min(REPORT_ROWS, REPORT_NUMBERS // model.data_dim), None
        x = reference.draw(n_rows, stream(seed, "report", 5))
    return latent.dependence(model, x, reference, knowledge, (seed, "report", 6), n_fitted)


def covariance_metrics(model, reference, seed):
    """How far the covariance of the model's x is from the given one, relative, Frobenius norms.

    z is drawn from the prior, whose moments are known; E[x|z] and Var(x|z) need no draws of x.
    """
    if reference is None:
        return evaluation.means({"covariance_error": None})
    n_z = min(COVARIANCE_SAMPLES, max(2000, COVARIANCE_NUMBERS // model.data_dim))
    z = stream(seed, "report", 4).standard_normal((n_z, model.n_dim))
    mean, log_std = evaluation.in_blocks(model.decode, z)
    if model.standardization is not None:
        mean = mean * model.standardization.std
        log_std = log_std + np.log(model.standardization.std)
    variances = np.exp(2.0 * log_std)
    weights, residuals = latent.regress(z, mean)
    of_model = weights.T @ weights + residuals.T @ residuals / len(z)
    of_model += np.diag(variances.mean(axis=0))
    difference = of_model - reference.covariance
    slope = difference / max(np.linalg.norm(difference), 1e-300)
    slope /= np.linalg.norm(reference.covariance)
    changes = np.sum(((2.0 * z @ weights + residuals) @ slope) * residuals, axis=1)
    changes += variances @ np.diag(slope)
    return {
        "covariance_error": float(relative_error(of_model, reference.covariance)),
        "covariance_error_se": evaluation.standard_error(changes),
    }
