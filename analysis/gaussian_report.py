"""The final report of a run on Gaussian data: every figure beside its exact optimum, in nats.

docs/report.md explains each key of report.json.
"""

import numpy as np

from analysis import evaluation, figures, information, linear_vae, sampling
from analysis.comparison import mardia_test, relative_error
from training import run_folder

REPORT_ROWS = 20_000  # at most so many rows are evaluated, of each kind
REPORT_Z = 2**20  # about so many draws of z for each kind
COVARIANCE_SAMPLES = 100_000
OPTIMUM_ROWS = 1_000_000  # at most so many training rows are drawn an optimum for
CLEARLY_NOT_GAUSSIAN = 0.001  # a p-value of Mardia's test below this
ROW_FIGURES = (  # means over rows, each with its standard error
    "elbo_train elbo_held_out optimum gap gap_model gap_encoder log_px rate log_px_z distortion "
    "cost_held_out cost_gap"
).split()


def held_out_elbo(model, data, seed, epoch):
    """The mean ELBO of the held-out rows, one draw of z each: what every epoch shows."""
    return evaluation.mean_elbo(model, data.x_held_out[:REPORT_ROWS], (seed, epoch))


def best_linear(covariance, n_dim, beta, decoder_std):
    """The best linear beta-VAE for data of this covariance; None where the cost has no minimum."""
    if decoder_std is not None and beta > 0:
        return linear_vae.fixed_std_optimum(covariance, n_dim, beta, decoder_std)
    if decoder_std is None and beta >= 1:
        return linear_vae.linear_optimum(covariance, n_dim, beta)
    return None


def finish(run, data, args, beta, name):
    """Write everything a finished run leaves, report.json last; return the report."""
    run.write_results(f"cost_function_{name}.dat")
    report = make_report(run.model, data, beta, args.decoder_std, args.seed)
    report["seconds"] = round(sum(row["seconds"] for row in run.position.history), 3)
    draw_figures(
        run.folder / "figures",
        run.position.history,
        run.model,
        data,
        report,
        args.seed,
        args.decoder_std,
    )
    run.log.add_pictures(args.n_epoch)
    run_folder.write_json(run.folder / "report.json", report)
    return report


def make_report(model, data, beta, decoder_std, seed):
    """The figures of a trained model, a dictionary. data: a data_processing.Data.

    Without a known distribution the reference is the Gaussian fitted to the training rows; where
    their covariance is singular there is none, and its figures are None.
    """
    x = data.x_held_out[:REPORT_ROWS]
    train = evaluate(model, data.training_sample(REPORT_ROWS), (seed, 1))
    held_out = evaluate(model, x, (seed, 2))
    rows = {
        "elbo_train": train.elbo,
        "elbo_held_out": held_out.elbo,
        "log_px": held_out.log_px,
        "rate": held_out.kl,
        "log_px_z": held_out.log_px_z,
        "gap_encoder": held_out.log_px - held_out.elbo,
        "distortion": np.sum((x - sampling.reconstruct(model, x, seed, True)) ** 2, axis=1),
        "cost_held_out": beta * held_out.kl - held_out.log_px_z,
    }
    report = {"beta": beta, **evaluation.latent_units(model, x).figures()}
    mean, covariance = data.reference()
    report |= reference_figures(data, covariance)
    best = None
    if report["optimum_is"] is not None:
        rows["optimum"] = information.log_density(x, mean, covariance)
        rows["gap"] = rows["optimum"] - held_out.elbo
        rows["gap_model"] = rows["optimum"] - held_out.log_px
        best = best_linear(covariance, model.n_dim, beta, decoder_std)
    if best is not None:
        exact = linear_vae.cost_of_rows(best, beta, x, mean, covariance)
        rows["cost_gap"] = rows["cost_held_out"] - exact
    for name in ROW_FIGURES:
        values = rows.get(name)
        report[name] = None if values is None else float(np.mean(values))
        report[f"{name}_se"] = None if values is None else evaluation.standard_error(values)
    report["elbo"] = report["elbo_held_out"]
    report["cost"] = best.cost + report["cost_gap"] if best else report["cost_held_out"]
    report["cost_exact"] = best and best.cost
    report["rate_exact"] = best and best.kl
    report["distortion_exact"] = best and best.distortion
    report["active_units_exact"] = best and best.active_units
    generated = sampling.generate(model, COVARIANCE_SAMPLES, seed)
    report["covariance_error"] = relative_error(np.cov(generated, rowvar=False), covariance)
    return report


def reference_figures(data, covariance):
    """What the Gaussian reference is, and for data of unknown distribution whether it applies."""
    if data.covariance is not None:
        return {"optimum_is": "exact", "gaussian_p": None, "gaussian_applies": True}
    try:
        information.check_covariance(covariance)
    except ValueError as error:
        return {
            "optimum_is": None,
            "gaussian_p": None,
            "gaussian_applies": False,
            "why": str(error),
        }
    p_value = float(mardia_test(data.training_sample(REPORT_ROWS)))
    applies = p_value > CLEARLY_NOT_GAUSSIAN
    return {"optimum_is": "estimate", "gaussian_p": p_value, "gaussian_applies": applies}


def evaluate(model, x, seed):
    n_samples = int(np.clip(REPORT_Z // len(x), 16, 1024))
    return evaluation.evaluate(model, x, n_samples, seed)


def print_report(report, folder):
    """The report of the run in `folder` on the screen."""
    reference = reference_name(report)
    lines = [
        ("ELBO, training rows", "elbo_train"),
        ("ELBO, held-out rows", "elbo_held_out"),
        (f"{reference} optimum, same rows", "optimum"),
        ("gap to the optimum", "gap"),
        ("  of the model", "gap_model"),
        ("  of the encoder", "gap_encoder"),
    ]
    if report["beta"] != 1:
        lines.append((f"cost at beta {report['beta']:g}", "cost_held_out"))
        lines.append(("gap to the best linear one", "cost_gap"))
    print("\nnats per data point               mean   std. error")
    for label, name in lines:
        if report[name] is not None:
            print(f"{label:<28}{report[name]:10.4f}{report[name + '_se']:13.4f}")
    variances = report["variance_of_mean"]
    n_active = f"{report['active_units']} of {len(variances)}"
    print(f"active units: {n_active}, variance of E[z|x]", end=" ")
    print(*(f"{v:.3f}" for v in variances))
    for remark in remarks(report):
        print(remark)
    print(f"written to {folder}")


def reference_name(report):
    return "exact" if report["optimum_is"] == "exact" else "estimated"


def remarks(report):
    """What a reader of the figures must know, a line each."""
    if report["active_units"] == 0 and report["active_units_exact"] == 0:
        yield "the posterior has collapsed to the prior; the best linear model does the same: right"
    elif report["active_units"] == 0:
        yield "z carries nothing: the posterior is still the prior"
    if report["optimum_is"] is None:
        yield f"no Gaussian reference: {report['why']}"
    elif not report["gaussian_applies"]:
        yield "the data are clearly not Gaussian (Mardia's test, p " + (
            f"{report['gaussian_p']:.1g}): the optimum above does not apply"
        )
    elif report["optimum_is"] == "estimate":
        yield "the optimum is an estimate: the Gaussian fitted to the training rows"


def draw_figures(folder, history, model, data, report, seed, decoder_std):
    """The pictures of a finished run, into `folder`."""
    columns = ("epoch", "kl", "log_px_z", "elbo", "elbo_held_out")
    x, (mean, covariance) = data.x_held_out[:REPORT_ROWS], data.reference()
    optima = best = linear = None
    if report["optimum"] is not None:
        x_train = data.training_sample(OPTIMUM_ROWS)
        optima = information.mean_log_density(x_train, mean, covariance), report["optimum"]
        best = best_linear(covariance, model.n_dim, report["beta"], decoder_std)
    if best is not None:
        posterior = best.posterior_covariance
        encoder = posterior @ best.weights.T / (report["beta"] * best.noise_variances)
        linear = (x - mean) @ encoder.T, np.sqrt(np.diag(posterior))
    figures.learning_curves(
        folder / "learning_curves.png",
        {name: np.array([row[name] for row in history]) for name in columns},
        optima,
        reference_name(report),
        best_linear=best and (best.kl, best.log_px_z),
        gap=optima and (report["gap"], report["gap_se"]),
    )
    z_mean, z_log_std = evaluation.encode(model, x)
    figures.latent_plane(
        folder / "latent_plane.png",
        z_mean,
        np.exp(z_log_std),
        report["variance_of_mean"],
        color=(x - mean) @ np.linalg.eigh(covariance)[1][:, -1],
        linear=linear,
    )
    samples = {
        "data": x,
        "decoder": sampling.generate(model, REPORT_ROWS, seed),
        "encoder-decoder": sampling.reconstruct(model, x, seed),
    }
    covariances = {name: np.atleast_2d(np.cov(s, rowvar=False)) for name, s in samples.items()}
    if data.covariance is not None:
        covariances = {"true": data.covariance} | covariances
    figures.covariances(folder / "covariances.png", covariances)
    figures.pairwise_marginals(
        folder / "pairwise_marginals.png", samples, data.mean, data.covariance
    )
