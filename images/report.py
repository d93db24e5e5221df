"""The numbers of a model of images, in nats per image, and what the screen says of them."""

import numpy as np

from analysis import evaluation, latent
from analysis.verdict import curves_of, in_sentences, of_convergence, of_memory
from images import data as image_data
from images import figures as image_figures
from images import models as image_models

REPORT_ROWS = 10_000  # at most so many training images are evaluated
REPORT_Z = 16  # draws of z for each test image
ENOUGH_EFFECTIVE = 0.5  # share of the draws: with fewer, more draws would raise log p(x)
SCORE_BATCH = 500  # images scored between two lines on the screen


def make_report(model, images, settings):
    """The metrics of a trained model, a dictionary, each mean with its standard error `_se`."""
    seed, beta = settings.seed, settings.beta
    x_train = image_data.training_sample(images, REPORT_ROWS, settings.binarization, seed)
    rows, _ = evaluation.rows_of_report(model, x_train, images.x_test, REPORT_Z, seed, beta)
    mean, log_std = evaluation.encode(model, images.x_test)
    return {
        "beta": beta,
        "elbo_is": image_models.describe_bound(settings),
        **evaluation.means(rows),
        "elbo": float(np.mean(rows["elbo_held_out"], dtype=np.float64)),
        **latent.latent_information(mean, log_std, (seed, "report", 3)),
        **latent.latent_units(mean, log_std).metrics(),
        "beta_thresholds": beta_thresholds(x_train, settings),
    }


def beta_thresholds(x_train, settings):
    """The betas at which the best linear VAE of these images loses a unit, rising; None: unknown.

    Known for the squared error, a Gaussian of variance 1/2: a unit that follows an eigenvector of
    the pixels' covariance pays for its KL while its eigenvalue is above beta / 2.
    """
    if settings.likelihood != "squared_error" or len(x_train) < 2:
        return None
    covariance = np.atleast_2d(np.cov(x_train, rowvar=False, dtype=np.float64))
    eigenvalues = np.linalg.eigvalsh(covariance)
    return (2.0 * eigenvalues[-settings.n_dim :]).tolist()


def log_likelihood(model, x, n_importance, seed, beta):
    """The evaluation.Evaluation of the images x (N, data_dim); shows its progress on the screen."""
    print(f"\nlog p(x) from {n_importance} draws of z ~ q(z|x), nats")
    parts = []
    for start in range(0, len(x), SCORE_BATCH):
        block = x[start : start + SCORE_BATCH]
        key = (seed, "evaluate", start)
        parts.append(evaluation.evaluate(model, block, n_importance, key, beta))
        log_px = np.concatenate([part.log_px for part in parts])
        se = evaluation.standard_error(log_px)
        print(f"{len(log_px):6d} of {len(x)} images {log_px.mean():10.3f} ± {se:.3f}", flush=True)
    return evaluation.concatenate(parts)


def make_score(scores, n_importance, settings):
    """The metrics of log_likelihood.json; scores: what log_likelihood returned."""
    means = {"log_px": scores.log_px, "elbo": scores.elbo, "kl": scores.kl}
    return {
        "n_importance": n_importance,
        "images": len(scores.log_px),
        **evaluation.means(means),
        "effective_samples_median": float(np.median(scores.effective_samples)),
        "elbo_is": image_models.describe_bound(settings),
    }


def draw_run(folder, settings, history):
    """The picture of a finished run, into its folder figures/."""
    curves = curves_of(history, settings.beta)
    image_figures.elbo_per_epoch(
        folder / "figures" / "elbo_per_epoch.png",
        curves["epoch"],
        curves["elbo"],
        curves["followed"],
        image="image" if settings.binarization == "none" else "binarized image",
        followed="validation" if settings.keep == "best" else "test",
    )


def verdict(report, history, settings):
    """What the numbers come to, a list of sentences, and last what to change first."""
    curves = curves_of(history, report["beta"])
    return in_sentences(
        [
            of_collapse(report),
            of_memory(curves, settings),
            of_convergence(curves, report["beta"]),
        ]
    )


def of_collapse(report):
    """Whether all units are off, and whether that is right; and what to change."""
    if report["active_units"] > 0:
        return None, None
    if report["beta_thresholds"] is None:
        sentence = "Collapsed: z carries no information about x; whether it should is not known."
        return sentence, "--warm_up, more epochs, or a smaller --beta"
    last = report["beta_thresholds"][-1]
    if last <= report["beta"]:
        sentence = f"Collapse is right here: the best linear VAE has no unit above beta {last:.3g}."
        return sentence, None
    return f"Collapsed, but the best linear VAE has units up to beta {last:.3g}.", "more epochs"


def print_report(report, folder):
    """The report of the run in `folder` on the screen."""
    lines = [
        ("ELBO, training images", "elbo_train"),
        ("ELBO, test images", "elbo_held_out"),
        ("  KL", "rate"),
        ("  log p(x|z)", "log_px_z"),
    ]
    if report["beta"] != 1:
        lines.append((f"cost at beta {report['beta']:g}", "cost_held_out"))
    print("\nnats per image                  mean   std. error")
    for label, name in lines:
        print(f"{label:<26}{report[name]:10.3f}{report[name + '_se']:13.3f}")
    print(f"the ELBO is {report['elbo_is']}")
    print(f"active units: {report['active_units']} of {len(report['variance_of_mean'])}")
    least, most = report["mutual_information_at_least"], report["mutual_information"]
    print(f"information I(x;z): between {least:.2f} and {most:.2f} nats (docs/report.md)")
    print(f"written to {folder}; open {folder / 'figures' / 'elbo_per_epoch.png'} first\n")
    for sentence in report["verdict"]:
        print(sentence)


def print_score(score):
    """The numbers of log_likelihood.json on the screen."""
    for name in ("log_px", "elbo", "kl"):
        print(f"{name:<6}{score[name]:10.3f} ± {score[f'{name}_se']:.3f}")
    effective, n_importance = score["effective_samples_median"], score["n_importance"]
    print(f"{effective:.1f} of {n_importance} draws of z are effective (median)", end="")
    few = effective < ENOUGH_EFFECTIVE * n_importance
    print(": few, so log p(x) is a lower bound that more draws would raise" if few else "")
    print(f"the ELBO is {score['elbo_is']}")
