"""The verdict on a run on Gaussian data: what its numbers come to, and what to change first."""

import numpy as np
from scipy.special import chdtri

NOTICEABLE = 0.02  # nats: a smaller rise, loss or gain is not worth a run
MEMORIZED = 0.05  # nats lost on the followed rows while the training rows gain
FELL = 0.5  # nats from one epoch to the next
STEEP = 0.5  # nats over the last epochs: a larger rise is not taken for noise
FAR = 0.1  # nats above the best linear VAE, or below the log-density of a known mixture
SURE = 3.0  # standard errors
FEW_HELD_OUT = 50


def verdict(report, history, settings):
    """What the numbers come to, a list of sentences, and last what to change first.

    report: of make_report. history: a dictionary for each epoch. settings: of the run.
    """
    curves = curves_of(history, report["beta"])
    return in_sentences(
        [  # in the order in which they matter
            of_stability(curves),
            of_memory(curves, settings),
            of_convergence(curves, report["beta"]),
            of_units(report, settings),
            of_distance(report, settings),
            of_gap(report, settings),
            of_linear_model(report, settings),
            of_few_rows(report),
        ]
    )


def curves_of(history, beta):
    """The columns of the history by name, and two more: `followed`, the ELBO of the rows that are
    not trained on, and `objective`, what the training raises.
    """
    curves = {name: np.array([row[name] for row in history]) for name in history[-1]}
    followed = "elbo_validation" if "elbo_validation" in curves else "elbo_held_out"
    curves["followed"] = curves[followed]
    curves["objective"] = curves["log_px_z"] - beta * curves["kl"]
    return curves


def in_sentences(found):
    """The sentences of a verdict; found: pairs of a sentence and what to change, or None."""
    sentences = [sentence for sentence, _ in found if sentence]
    changes = [change for _, change in found if change]
    if changes:
        return [*sentences, f"Change first: {changes[0]}."]
    return [*sentences, "Nothing needs to be changed first."]


def of_stability(curves):
    """Whether the objective on the training rows fell on its way."""
    steps = np.diff(curves["objective"])
    if len(steps) == 0 or -steps.min() < max(FELL, 5.0 * np.median(np.abs(steps))):
        return None, None
    worst = int(np.argmin(steps))
    return (
        f"Unstable: in epoch {worst + 2} the training rows lost {-steps[worst]:.2f} nats.",
        "a smaller --lr, --clip_norm 1, or a higher --min_log_std",
    )


def of_memory(curves, settings):
    """Whether the rows that are followed lost from an epoch on what the training rows gained."""
    followed = curves["followed"]
    n_epoch, best = len(followed), int(np.argmax(followed))
    lost = followed[best] - followed[-1]
    parted = lost + curves["elbo"][-1] - curves["elbo"][best]
    rough = np.std(np.diff(followed[min(best, n_epoch // 2) :])) if n_epoch > 3 else 0.0
    if lost < max(MEMORIZED, SURE * rough) or parted < 0.5 * lost:
        return None, None
    sentence = (
        f"Memorizing: rows not trained on were best after epoch {best + 1} of {n_epoch}, with an "
        f"ELBO of {followed[best]:.2f}; the rest of the training lost {lost:.2f} nats."
    )
    if settings.keep == "best":
        return f"{sentence} The weights of that epoch were kept.", None
    return sentence, f"--keep best, or --n_epoch {best + 1}"


def of_convergence(curves, beta):
    """Whether the last fifth of the epochs still gained."""
    name, curve = "ELBO of rows not trained on", curves["followed"]
    if beta != 1.0:
        name, curve = "training objective, log p(x|z) - beta KL,", curves["objective"]
    n_epoch = len(curve)
    if n_epoch < 3:
        sentence = f"{n_epoch} of at least 3 epochs: too few to tell where training leads."
        return sentence, "more epochs"
    n_last = max(n_epoch // 5, 3)
    (slope, _), covariance = np.polyfit(np.arange(n_last), curve[-n_last:], deg=1, cov=True)
    slope_se = np.sqrt(covariance[0, 0])
    where = f"in the last {n_last} of {n_epoch} epochs the {name}"
    rise = slope * (n_last - 1)
    noise = 2.0 * slope_se * (n_last - 1)
    if rise - noise < NOTICEABLE and rise < STEEP:
        return f"Converged: {where} changed by {slope:z.4f} nats per epoch.", None
    return (
        f"Not converged: {where} still rose by {slope:.4f} nats per epoch.",
        f"--n_epoch {2 * n_epoch}",
    )


def of_units(report, settings):
    """Whether units are off, and whether theory wants that."""
    active, n_dim = report["active_units"], settings.n_dim
    best = report["active_units_exact"]
    if active == n_dim:
        return None, None
    off = f"{n_dim - active} of {n_dim} units carry no information about x"
    if nothing_to_find(report, settings):
        if report["optimum_is"] == "exact":
            reason = "the columns are independent: collapse is right"
        else:
            n_train = settings.training_data_size
            reason = f"{n_train} training rows show no dependence among the columns"
        return f"Nothing to find: {off}, and {reason}.", None
    if best is None:
        if active > 0:
            return f"{off}.", None
        return f"Collapsed: {off}.", ways_out(settings, best)
    if active >= best:
        return f"Collapse is right: {off}, as in the best linear VAE.", None
    off = f"{off}; the best linear VAE has {best} active and"
    gain, error = report["cost_gap"], report["cost_gap_se"]
    if gain < NOTICEABLE:
        return f"{off} costs next to nothing less.", None
    if gain < SURE * error:
        return f"{off} may cost less, by {gain:.2f} ± {error:.2f} nats.", "more rows"
    return f"Collapsed: {off} costs {gain:.4f} nats less.", ways_out(settings, best)


def ways_out(settings, best):
    """What to change where units collapsed without need.

    best: how many units of the best linear VAE are active, None where that is not known.
    """
    if best is not None and settings.activation != "linear":
        ways = ["--activation linear"]  # it loses fewer: docs/developers/speed.md
    else:
        ways = [f"--n_epoch {2 * settings.n_epoch}"]
    if best is None and settings.model == "beta_vae":
        ways.append("a smaller --beta")
    if settings.weight_decay > 0:
        ways.append("--weight_decay 0")
    return ", ".join(ways) + ", or another --seed"


def nothing_to_find(report, settings):
    """Whether the reference leaves open that the columns are independent, for a learned std."""
    dependence = report["total_correlation"]
    if dependence is None or settings.decoder_std != "learned":
        return False
    if report["optimum_is"] == "exact":
        return dependence < 1e-9
    pairs = settings.data_dim * (settings.data_dim - 1) / 2
    # Twice the log of a likelihood ratio, of a chi-squared distribution for independent columns.
    return pairs == 0 or 2.0 * settings.training_data_size * dependence < chdtri(pairs, 1e-3)


def of_distance(report, settings):
    """Whether a run on a known Gaussian ended far from the best linear VAE, no unit missing."""
    gap = report["cost_gap"]
    if gap is None or report["optimum_is"] != "exact":
        return None, None
    if gap < max(FAR, SURE * report["cost_gap_se"]):
        return None, None
    if report["active_units"] < report["active_units_exact"]:  # of_units has said it
        return None, None
    sentence = f"The cost is {gap:.4f} nats above that of the best linear VAE."
    changes = f"--n_epoch {2 * settings.n_epoch}, or --lr"
    if settings.activation != "linear":
        changes = f"--activation linear, {changes}"
    return sentence, changes


def of_gap(report, settings):
    """Whether a VAE of a known mixture ended far below the exact log-density of its rows."""
    if report["optimum_is"] != "exact" or report["cost_gap"] is not None or report["beta"] != 1.0:
        return None, None
    gap = report["gap"]
    if gap < max(FAR, SURE * report["gap_se"]):
        return None, None
    sentence = f"The held-out ELBO is {gap:.4f} nats below the exact optimum."
    if settings.activation == "linear":
        return sentence, "--activation relu"
    if settings.decoder_std != "learned":
        return sentence, "--decoder_std learned"
    return sentence, f"--n_epoch {3 * settings.n_epoch}, or a larger --n_width"


def of_linear_model(report, settings):
    """How log p(x) stands beside that of the best linear VAE of the same rows."""
    gain = report["gain_over_linear"]
    if gain is None:
        return None, None
    than = "above" if gain >= 0 else "below"
    sentence = (
        f"log p(x) is {abs(gain):.4f} nats {than} that of the best linear VAE with the same n_dim "
        f"(beta 1), {report['linear_log_px']:.4f}."
    )
    if gain > -max(2.0 * report["gain_over_linear_se"], NOTICEABLE) or report["beta"] != 1.0:
        return sentence, None
    if not settings.standardize:
        return sentence, "--standardize, unless the columns have about mean 0 and std 1"
    return f"{sentence} It is the better model of these rows.", "--activation linear, or more rows"


def of_few_rows(report):
    """Whether the held-out rows are too few to judge by, or fit worse than the training rows."""
    parting = report["elbo_train"] - report["elbo_held_out"]
    # By the spread of the training rows: a few held-out rows of very low density widen their own.
    ratio = report["rows_train"] / report["rows_held_out"]
    sentences = []
    if parting > SURE * report["elbo_train_se"] * np.sqrt(1.0 + ratio):
        sentences.append(f"The ELBO is {parting:.2f} nats lower on held-out than training rows.")
    if report["rows_held_out"] < FEW_HELD_OUT:
        sentences.append(
            f"Few rows: with {report['rows_held_out']} held out, a single one moves every number."
        )
    return " ".join(sentences) or None, None
