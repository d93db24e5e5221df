"""The numbers of a model of images, in nats per image, and what the screen says of them."""

import math

import numpy as np

from analysis import evaluation, gaps, latent, report_text
from images import data as image_data
from images import figures as image_figures
from images import models as image_models

REPORT_ROWS = 10_000  # at most so many training images are evaluated
REPORT_Z = 16  # draws of z for each test image
SCORE_BATCH = 500  # images scored between two lines on the screen
FEW_IMAGES = 500  # of training, whose active units the code of Burda et al. (2015) counts


def followed_elbo(model, images, seed, epoch):
    """The mean ELBO of the validation images, else of the test images: what every epoch shows."""
    if images.x_validation is None:
        return evaluation.mean_elbo(model, images.x_test, (seed, "epoch", epoch))
    return evaluation.mean_elbo(model, images.x_validation, (seed, "epoch", 0))  # always alike


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
    if settings.likelihood != "squared_error":
        return None
    eigenvalues = np.linalg.eigvalsh(np.cov(x_train, rowvar=False, dtype=np.float64))
    return (2.0 * eigenvalues[-settings.n_dim :]).tolist()


def log_likelihood(model, x, n_importance, seed, beta, own_q=False):
    """The evaluation.Evaluation of the images x (N, data_dim), and its error from the draws of z.

    The error is that of the mean of log p(x), from the difference of two estimates with half of
    the draws each. own_q: with the best Gaussian of each image, gaps.best_gaussian, in place of the
    encoder's. Shows its progress on the screen.
    """
    source = "the best q of each image" if own_q else "q(z|x)"
    print(f"\nlog p(x) from {n_importance} draws of z ~ {source}, nats")
    n_first = n_importance // 2
    n_second = n_importance - n_first
    parts = []
    square = 0.0
    for start in range(0, len(x), SCORE_BATCH):
        block = x[start : start + SCORE_BATCH]
        q = None
        if own_q:
            q = gaps.best_gaussian(model, block, seed)
            beta = 1.0  # such a q is near the posterior as it is
        key = (seed, "evaluate", start)
        first = evaluation.evaluate(model, block, n_first, (*key, 0), beta, q)
        second = evaluation.evaluate(model, block, n_second, (*key, 1), beta, q)
        square += np.sum((first.log_px - second.log_px) ** 2) / 4
        parts.append(merge(first, second, n_first / n_importance))
        log_px = np.concatenate([part.log_px for part in parts])
        se = evaluation.standard_error(log_px)
        print(f"{len(log_px):6d} of {len(x)} images {log_px.mean():10.3f} ± {se:.3f}", flush=True)
    return evaluation.concatenate(parts), math.sqrt(square) / len(x)


def merge(first, second, share):
    """The Evaluation from all draws, of which `first` has this share and `second` the others."""
    log_px = np.logaddexp(np.log(share) + first.log_px, np.log1p(-share) + second.log_px)
    weight = share * np.exp(first.log_px - log_px)  # of the draws of `first`; all weights sum to 1
    squares = weight**2 / first.effective_samples + (1 - weight) ** 2 / second.effective_samples
    return evaluation.Evaluation(
        kl=first.kl,
        elbo=share * first.elbo + (1 - share) * second.elbo,
        log_px=log_px,
        log_px_se=np.hypot(weight * first.log_px_se, (1 - weight) * second.log_px_se),
        effective_samples=1 / squares,
    )


def make_score(scores, se_of_draws, n_importance, settings):
    """The metrics of log_likelihood.json; scores, se_of_draws: what log_likelihood returned."""
    means = {"log_px": scores.log_px, "elbo": scores.elbo, "kl": scores.kl}
    return {
        "n_importance": n_importance,
        "images": len(scores.log_px),
        **evaluation.means(means),
        "log_px_se_of_draws": se_of_draws,
        "effective_samples_median": float(np.median(scores.effective_samples)),
        "elbo_is": image_models.describe_bound(settings),
    }


def make_gaps(scores, best):
    """Where the ELBO loses nats; scores, best: from the encoder and from the best q of each image.

    docs/report.md has the names.
    """
    rows = {
        "log_px_of_best_q": best.log_px,
        "gap_family": best.log_px - best.elbo,
        "gap_amortization": best.elbo - scores.elbo,
    }
    effective = float(np.median(best.effective_samples))
    return {**evaluation.means(rows), "effective_samples_of_best_q_median": effective}


def units_in_training(model, images, settings):
    """How many units are active on the first training images, as the published code counts."""
    x = image_data.training_sample(images, FEW_IMAGES, settings.binarization, settings.seed)
    mean, log_std = evaluation.encode(model, x)
    return int(latent.latent_units(mean, log_std).active.sum())


def draw_run(folder, settings, history):
    """The picture of a finished run, into its folder figures/."""
    followed = "elbo_validation" if settings.keep == "best" else "elbo_held_out"
    image_figures.elbo_per_epoch(
        folder / "figures" / "elbo_per_epoch.png",
        [row["epoch"] for row in history],
        [row["elbo"] for row in history],
        [row[followed] for row in history],
        image="image" if settings.binarization == "none" else "binarized image",
        followed="validation" if settings.keep == "best" else "test",
    )


def verdict(report, history, settings):
    """What the numbers come to, a list of sentences, and last what to change first."""
    curves = report_text.curves_of(history, report["beta"])
    return report_text.in_sentences(
        [
            of_collapse(report),
            report_text.of_memory(curves, report, settings),
            report_text.of_convergence(curves, report, settings),
        ]
    )


def of_collapse(report):
    """Whether all units are off, and whether that is right; and what to change."""
    if report["active_units"] > 0:
        return None, None
    thresholds = report["beta_thresholds"]
    if thresholds is None:
        sentence = "Collapsed: z carries no information about x; whether it should is not known."
        return sentence, "--warm_up, more epochs, or a smaller --beta"
    eigenvalue = f"the largest eigenvalue of the pixels' covariance is {thresholds[-1] / 2:.3g}"
    half = f"beta / 2 = {report['beta'] / 2:g}"
    if thresholds[-1] <= report["beta"]:
        sentence = (
            f"Collapse is right here, as in the best linear VAE: {eigenvalue}, at most {half}."
        )
        return sentence, None
    sentence = f"Collapsed: z carries no information about x, but {eigenvalue}, above {half}."
    return sentence, "more epochs"


def print_report(report, folder):
    """The report of the run in `folder` on the screen."""
    lines = [
        ("ELBO, training images", "elbo_train"),
        ("ELBO, test images", "elbo_held_out"),
        ("  KL", "rate"),
        ("    information I(x;z)", "mutual_information"),
        ("    aggregate KL", "aggregate_kl"),
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
    for sentence in report["verdict"]:
        print(sentence)
    print(f"written to {folder}; open {folder / 'figures' / 'elbo_per_epoch.png'} first")


def print_score(score):
    """The numbers of log_likelihood.json on the screen."""
    for name in ("log_px", "elbo", "kl", "log_px_of_best_q", "gap_family", "gap_amortization"):
        if name in score:
            print(f"{name:<17}{score[name]:10.3f} ± {score[f'{name}_se']:.3f}")
    effective, n_importance = score["effective_samples_median"], score["n_importance"]
    print(f"{effective:.1f} of {n_importance} draws of z are effective (median)", end="")
    few = effective < evaluation.ENOUGH_EFFECTIVE * n_importance
    print(": few, so log p(x) is a lower bound that more draws would raise" if few else "")
    print(f"the ELBO is {score['elbo_is']}")
