"""The final report of a run on Gaussian data: every figure beside its exact optimum, in nats."""

import numpy as np

import evaluation
import figures
import gaussian_theory
import run_files
import vae_models

REPORT_ROWS = 20_000  # at most so many rows are evaluated, of each kind
REPORT_Z = 2**20  # about so many draws of z in all


def make_report(model, data, beta, seed):
    """The figures of a trained model, a dictionary of the keys that docs/report.md explains.

    data: a data_processing.Data. With an unknown distribution the reference is the Gaussian fitted
    to the training rows.
    """
    known = data.covariance is not None
    mean, covariance = data.mean, data.covariance
    if not known:
        mean, covariance = data.x_train.mean(axis=0), np.cov(data.x_train, rowvar=False)
    x = data.x_held_out[:REPORT_ROWS]
    train = evaluate(model, data.x_train[:REPORT_ROWS], (seed, 1))
    held_out = evaluate(model, x, (seed, 2))
    log_p_data = gaussian_theory.log_density(x, mean, covariance)
    units = evaluation.latent_units(model, x)
    report = {"optimum_is": "exact" if known else "estimate"}
    for name, rows in {
        "elbo_train": train.elbo,
        "elbo_held_out": held_out.elbo,
        "optimum": log_p_data,
        "gap": log_p_data - held_out.elbo,
        "gap_model": log_p_data - held_out.log_px,
        "gap_encoder": held_out.log_px - held_out.elbo,
        "kl": held_out.kl,
        "log_px_z": held_out.log_px_z,
    }.items():
        report[name] = float(rows.mean())
        report[f"{name}_se"] = float(evaluation.standard_error(rows))
    return report | {
        "active_units": int(units.active.sum()),
        "variance_of_mean": units.variance_of_mean.tolist(),
        "kl_of_units": units.kl.tolist(),
    }


def held_out_elbo(model, data, seed, epoch):
    """The mean ELBO of the held-out rows, one draw of z each: what every epoch shows."""
    return evaluation.mean_elbo(model, data.x_held_out[:REPORT_ROWS], (seed, epoch))


def finish(run, data, beta, seed, cost_file):
    """Write everything a finished run leaves, report.json last; return the report."""
    report = make_report(run.model, data, beta, seed)
    run.write_results(cost_file)
    draw_figures(run.folder / "figures", run.position.history, run.model, data, report, seed)
    report["seconds"] = sum(row["seconds"] for row in run.position.history)
    run_files.write_json(run.folder / "report.json", report)
    return report


def evaluate(model, x, seed):
    n_samples = int(np.clip(REPORT_Z // len(x), 16, 1024))
    return evaluation.evaluate(model, x, n_samples, seed)


def print_report(report, folder):
    """The report of the run in `folder` on the screen."""
    reference = report["optimum_is"]
    print("\nnats per data point             mean   std. error")
    for label, name in [
        ("ELBO, training rows", "elbo_train"),
        ("ELBO, held-out rows", "elbo_held_out"),
        (f"{reference} optimum, same rows", "optimum"),
        ("gap to the optimum", "gap"),
        ("  of the model", "gap_model"),
        ("  of the encoder", "gap_encoder"),
    ]:
        print(f"{label:<26}{report[name]:10.4f}{report[name + '_se']:13.4f}")
    variances = report["variance_of_mean"]
    print(f"active units {report['active_units']} of {len(variances)}: variance of E[z|x] ", end="")
    print(*(f"{v:.3f}" for v in variances))
    print(f"written to {folder}")


def draw_figures(folder, history, model, data, report, seed):
    """The pictures of a finished run, into `folder`."""
    folder.mkdir(exist_ok=True)
    columns = ("epoch", "kl", "log_px_z", "elbo", "elbo_held_out")
    figures.learning_curves(
        folder / "learning_curves.png",
        *(np.array([row[name] for row in history]) for name in columns),
        optimum=report["optimum"],
        optimum_label=f"{report['optimum_is']} optimum",
    )
    x = data.x_held_out[:REPORT_ROWS]
    z_mean, z_log_std = evaluation.encode(model, x)
    figures.latent_plane(
        folder / "latent_plane.png", z_mean, np.exp(z_log_std), report["variance_of_mean"]
    )
    samples = {
        "data": x,
        "decoder": vae_models.generate(model, REPORT_ROWS, seed),
        "encoder-decoder": vae_models.reconstruct(model, x, seed),
    }
    covariances = {name: np.atleast_2d(np.cov(s, rowvar=False)) for name, s in samples.items()}
    if data.covariance is not None:
        covariances = {"true": data.covariance} | covariances
        del covariances["data"]
    figures.covariances(folder / "covariances.png", covariances)
    figures.pairwise_marginals(
        folder / "pairwise_marginals.png", samples, data.mean, data.covariance
    )
