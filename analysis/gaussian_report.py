"""The final report of a run on Gaussian data: every number beside its reference, in nats.

docs/report.md explains each key of report.json.
"""

import math

import numpy as np
import tensorflow as tf

from analysis import evaluation, figures, information, linear_vae, sampling
from analysis.comparison import mardia_test, relative_error
from data_processing import moments
from training import run_folder
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


def held_out_elbo(model, data, seed, epoch):
    """The mean ELBO of the held-out rows, one draw of z each: what every epoch shows."""
    return evaluation.mean_elbo(model, data.x_held_out[:REPORT_ROWS], (seed, "epoch", epoch))


def finish(run, data, beta):
    """Write everything a finished run leaves, report.json last; return the report."""
    args = run.args
    run.write_results(f"cost_function_{args.model}.dat")
    report, best = make_report(run.model, data, args, beta)
    report["seconds"] = round(sum(row["seconds"] for row in run.position.history), 3)
    draw_figures(run, data, report, best)
    run.log.add_pictures(args.n_epoch)
    run_folder.write_json(run.folder / "report.json", report)
    return report


def make_report(model, data, args, beta):
    """The metrics of a trained model, a dictionary, and the best linear VAE or None.

    data: a data_processing.Data. args: the flags of the run, of which data_path, decoder_std,
    min_log_std and seed count. Without a known distribution the reference is the Gaussian fitted to
    the training rows; where their covariance is singular there is none, and its metrics are None.
    """
    x, seed = data.x_held_out[:REPORT_ROWS], args.seed
    decoder_std = args.decoder_std
    x_train, n_draws = data.training_sample(REPORT_ROWS), int(np.clip(REPORT_Z // len(x), 16, 1024))
    rows, held_out = evaluation.rows_of_report(model, x_train, x, n_draws, seed, beta)
    rows["log_px"] = held_out.log_px_corrected
    rows["gap_encoder"] = rows["log_px"] - held_out.elbo
    mean_z, log_std_z = evaluation.encode(model, x)
    latent = evaluation.latent_information(mean_z, log_std_z, (seed, "report", 3))
    mean, covariance = data.reference()
    known = reference_metrics(data, covariance)
    best = None
    rest = {"common_information": None, "common_information_units": None, "beta_thresholds": None}
    if known["optimum_is"] is not None:
        rows["optimum"] = information.Gaussian(mean, covariance).log_density(x)
        rows["gap"] = rows["optimum"] - held_out.elbo
        rows["gap_model"] = rows["optimum"] - rows["log_px"]
        best = linear_vae.optimum(covariance, model.n_dim, beta, decoder_std, args.min_log_std)
        common = information.common_information(covariance)
        thresholds = linear_vae.beta_thresholds(covariance, model.n_dim, decoder_std)
        rest = {
            "common_information": common.nats,
            "common_information_units": common.units,
            "beta_thresholds": thresholds.tolist(),
            **dependence_metrics(x, mean, covariance, mean_z, log_std_z, held_out.log_px_z),
            **covariance_metrics(model, covariance, seed),
        }
    if best is not None:
        of_rows = linear_vae.cost_of_rows(best, beta, x, mean, covariance)
        rows["cost_gap"] = rows["cost_held_out"] - of_rows
    if args.data_path is not None:
        rows |= linear_log_px(data, x, model.n_dim, decoder_std)

    report = {"beta": beta, **evaluation.latent_units(model, x).metrics(), **known}
    for name in MAY_BE_NULL:
        report |= {name: None, f"{name}_se": None}
    report |= evaluation.means(rows) | latent | rest
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
    report["rate_exact"] = best.kl if has_rate(best, args) else None
    return report, best


def has_rate(best, args):
    """Whether the best linear VAE has a KL: not where it copies a coordinate, and both diverge."""
    return best is not None and (best.attained or args.min_log_std is not None)


def reference_metrics(data, covariance):
    """What the Gaussian reference is, and for data of unknown distribution whether it applies."""
    if data.covariance is not None:
        return {"optimum_is": "exact", "gaussian_p": None, "gaussian_applies": True}
    try:
        information.check_covariance(covariance)
    except ValueError as error:
        none = {"optimum_is": None, "gaussian_p": None, "gaussian_applies": False}
        return none | {"why": str(error)}
    p_value = float(mardia_test(data.training_sample(REPORT_ROWS)))
    applies = p_value > CLEARLY_NOT_GAUSSIAN
    return {"optimum_is": "estimate", "gaussian_p": p_value, "gaussian_applies": applies}


def linear_log_px(data, x, n_dim, decoder_std):
    """log p(x) of the rows of x under the best linear VAE for the training rows, (N,), by its name.

    The linear VAE of highest likelihood: factor analysis for a learned std, probabilistic PCA for a
    shared one. Nothing where the training rows have a singular covariance.
    """
    mean, covariance = moments(data.x_train)
    try:
        best = linear_vae.optimum(covariance, n_dim, 1.0, decoder_std)
    except ValueError:
        return {}
    return {"linear_log_px": information.Gaussian(mean, best.model_covariance).log_density(x)}


def regress(inputs, outputs):
    """Weights (a, b) and residuals (N, b) of the linear regression of outputs (N, b) on (N, a).

    With them a covariance of the outputs follows from the known one of the inputs, without the
    noise of which inputs were drawn: weights' C weights + that of the residuals.
    """
    inputs, outputs = inputs - inputs.mean(axis=0), outputs - outputs.mean(axis=0)
    weights = np.linalg.lstsq(inputs, outputs, rcond=None)[0]
    return weights, outputs - inputs @ weights


def dependence_metrics(x, mean, covariance, mean_z, log_std_z, log_px_z):
    """What z leaves of the dependence among the coordinates, and the decoder's cost beyond it.

    TC(x|z) is that of the Gaussian with the second moments of the joint of data and encoder, which
    is the joint itself for a linear encoder on data of N(mean, covariance). decoder_mismatch is
    -log_px_z less the sum of the conditional entropies h(x_j|z) of that Gaussian.
    x: (N, data_dim). mean_z, log_std_z: of q(z|x), (N, n_dim). log_px_z: (N,).
    """
    x, mean_z, variances = np.float64(x) - mean, np.float64(mean_z), np.exp(2.0 * log_std_z)
    weights, residuals = regress(x, mean_z)
    noise = np.diag(variances.mean(axis=0, dtype=np.float64)) + residuals.T @ residuals / len(x)
    cross = covariance @ weights
    decoder = np.linalg.solve(weights.T @ cross + noise, cross.T)  # z -> E[x|z], (n_dim, data_dim)
    left = covariance - cross @ decoder  # the covariance of x given z
    # What each row adds to `left`, apart from what is known of x.
    of_x, of_residuals = x - x @ weights @ decoder, residuals @ decoder
    metric = np.diag(1.0 / np.diag(left)) - np.linalg.inv(left)
    changes = np.sum(((of_residuals - 2.0 * of_x) @ metric) * of_residuals, axis=1)
    changes += variances @ np.sum((decoder @ metric) * decoder, axis=1)

    squares = (of_x - of_residuals) ** 2 + variances @ decoder**2
    code = 0.5 * np.sum(np.log(2.0 * np.pi * np.diag(left)) + squares / np.diag(left), axis=1)
    return {
        "conditional_total_correlation": information.total_correlation(left),
        "conditional_total_correlation_se": evaluation.standard_error(0.5 * changes),
        "decoder_mismatch": float(np.mean(-log_px_z - code)),
        "decoder_mismatch_se": evaluation.standard_error(-log_px_z - code),
    }


def covariance_metrics(model, covariance, seed):
    """How far the covariance of the model's x is from the given one, relative, Frobenius norms.

    z is drawn from the prior, whose moments are known; E[x|z] and Var(x|z) need no draws of x.
    """
    z = stream(seed, "report", 4).standard_normal((COVARIANCE_SAMPLES, model.n_dim))
    blocks = np.array_split(z.astype(np.float32), -(-len(z) // evaluation.Z_BATCH))
    parts = [model.decode(tf.constant(block)) for block in blocks]
    means, log_stds = (np.concatenate(side).astype(np.float64) for side in zip(*parts, strict=True))
    variances = np.exp(2.0 * log_stds)
    weights, residuals = regress(z, means)
    of_model = weights.T @ weights + residuals.T @ residuals / len(z)
    of_model += np.diag(variances.mean(axis=0))
    error = relative_error(of_model, covariance)
    difference = of_model - covariance
    slope = difference / max(np.linalg.norm(difference), 1e-300) / np.linalg.norm(covariance)
    changes = np.sum(((2.0 * z @ weights + residuals) @ slope) * residuals, axis=1)
    changes += variances @ np.diag(slope)
    se = evaluation.standard_error(changes)
    return {"covariance_error": float(error), "covariance_error_se": se}


def print_report(report, folder):
    """The report of the run in `folder` on the screen."""
    reference, gap = reference_names(report)
    lines = [
        ("ELBO, training rows", "elbo_train"),
        ("ELBO, held-out rows", "elbo_held_out"),
        (f"{reference}, same rows", "optimum"),
        (gap, "gap"),
        ("  of the model", "gap_model"),
        ("  of the encoder", "gap_encoder"),
        ("log p(x), held-out rows", "log_px"),
    ]
    if report["beta"] != 1:
        lines.append((f"cost at beta {report['beta']:g}", "cost"))
    lines += [
        ("information I(x;z)", "mutual_information"),
        ("dependence left, TC(x|z)", "conditional_total_correlation"),
    ]
    exact = {**report, "mutual_information_exact": report["rate_exact"]}
    if report["gap_model_exact"] is not None:
        exact["gap_exact"] = report["gap_model_exact"] + report["gap_encoder_exact"]
    column = {"exact": "   best linear VAE", "estimate": "   best linear VAE, if Gaussian"}
    print("\nnats per data point               mean   std. error", end="")
    print(column.get(report["optimum_is"], ""))
    for label, name in lines:
        if report[name] is not None:
            best = exact.get(f"{name}_exact")
            best = "" if best is None else f"{best:z18.4f}"
            print(f"{label:<28}{report[name]:z10.4f}{report[name + '_se']:13.4f}{best}")
    variances = report["variance_of_mean"]
    n_active = f"{report['active_units']} of {len(variances)}"
    print(f"active units: {n_active}, variance of E[z|x]", end=" ")
    print(*(f"{v:.3f}" for v in variances))
    if report["common_information"] is not None:
        nats, units = report["common_information"], report["common_information_units"]
        print(f"common information: {nats:.4f} nats in {units} {'unit' if units == 1 else 'units'}")
    for remark in remarks(report):
        print(remark)
    print(f"written to {folder}; open {folder / 'figures' / 'learning_curves.png'} first")


def reference_names(report):
    """What the reference and the distance from it are called on the screen."""
    if report["optimum_is"] == "exact":
        return "exact optimum", "gap to the optimum"
    if report["gaussian_applies"]:
        return "estimated optimum", "gap to the estimate"
    return "fitted Gaussian", "distance to the fit"


def remarks(report):
    """What a reader of the numbers must know, a line each."""
    if report["active_units"] == 0 and report["active_units_exact"] == 0:
        yield "z carries no information about x; the best linear VAE collapses too, as expected"
    elif report["active_units"] == 0:
        yield "z carries no information about x: q(z|x) is still the prior"
    effective, draws = report["effective_samples"], report["log_px_draws"]
    yield f"log p(x): {effective:.0f} of {draws} draws of z are effective (median)"
    if effective < evaluation.ENOUGH_EFFECTIVE * draws:
        yield "  too few: log p(x) may be too low, and the model's gap too large, beyond the error"
    parting = report["elbo_train"] - report["elbo_held_out"]
    # By the spread of the training rows: a few held-out rows of very low density widen their own.
    ratio = report["rows_train"] / report["rows_held_out"]
    if parting > 3.0 * report["elbo_train_se"] * math.sqrt(1.0 + ratio):
        yield (
            f"the ELBO is {parting:.2f} nats lower on held-out than on training rows: the network "
            "has begun to memorize; try fewer epochs, a smaller --n_width, or more data"
        )
    if report["optimum_is"] == "exact" and report["gap"] < -5.0 * report["gap_se"]:
        yield "the ELBO exceeds the optimum: the data are not from the Gaussian that was given"
    if report["optimum_is"] is None:
        yield f"no Gaussian reference: {report['why']}"
    elif not report["gaussian_applies"]:
        p = report["gaussian_p"]
        p = f"p = {p:.1g}" if p > 1e-15 else "p < 1e-15"
        yield f"the data are clearly not Gaussian (Mardia's test, {p}): " + (
            "a good model exceeds the fitted Gaussian"
        )
    elif report["optimum_is"] == "estimate":
        yield "the optimum is an estimate: the Gaussian fitted to the training rows"
    if report["cost_exact"] is not None and report["rate_exact"] is None:
        yield "the best linear VAE copies a column (a Heywood case), so its I(x;z) has no bound"
    if report["linear_log_px"] is not None:
        lead = report["log_px"] - report["linear_log_px"]
        than = "above" if lead >= 0 else "below"
        yield f"log p(x) is {abs(lead):.4f} nats {than} that of the best linear VAE " + (
            f"with the same n_dim (beta 1), {report['linear_log_px']:.4f}"
        )


def draw_figures(run, data, report, best):
    """The pictures of a finished run, into its folder figures/; best: a linear_vae.Optimum."""
    folder, history, model, args = run.folder / "figures", run.position.history, run.model, run.args
    columns = ("epoch", "kl", "log_px_z", "elbo", "elbo_held_out")
    x, (mean, covariance) = data.x_held_out[:REPORT_ROWS], data.reference()
    optima = linear = None
    if report["optimum"] is not None:
        gaussian = information.Gaussian(mean, covariance)
        log_px = gaussian.log_density(data.training_sample(OPTIMUM_ROWS))
        optima = np.mean(log_px), report["optimum"]
    if best is not None:
        posterior = best.posterior_covariance
        encoder = posterior @ best.weights.T / (report["beta"] * best.noise_variances)
        linear = (x - mean) @ encoder.T, np.sqrt(np.diag(posterior))
    figures.learning_curves(
        folder / "learning_curves.png",
        {name: np.array([row[name] for row in history]) for name in columns},
        optima,
        "exact log p(x)" if report["optimum_is"] == "exact" else "fitted Gaussian",
        best_linear=(best.kl, best.log_px_z) if has_rate(best, args) else None,
        gap=optima and (report["gap"], report["gap_se"]),
    )
    z_mean, z_log_std = evaluation.encode(model, x)
    figures.latent_plane(
        folder / "latent_plane.png",
        z_mean,
        np.exp(z_log_std),
        color=(x - mean) @ np.linalg.eigh(covariance)[1][:, -1],
        linear=linear,
    )
    samples = {
        "data": x,
        "decoder": sampling.generate(model, REPORT_ROWS, args.seed),
        "encoder-decoder": sampling.reconstruct(model, x, args.seed),
    }
    covariances = {} if data.covariance is None else {"true": data.covariance}
    for name, sample in samples.items():
        covariances[name] = np.atleast_2d(np.cov(sample, rowvar=False))
    figures.covariances(folder / "covariances.png", covariances)
    figures.pairwise_marginals(
        folder / "pairwise_marginals.png", samples, data.mean, data.covariance
    )
