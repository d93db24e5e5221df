"""What the screen says of a run on Gaussian data: its numbers beside their references, in words."""

import math

from analysis.evaluation import ENOUGH_EFFECTIVE


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
    if effective < ENOUGH_EFFECTIVE * draws:
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


def verdict(report, history, settings):
    """What the numbers come to, a list of sentences."""
    return []
