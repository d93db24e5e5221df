"""What the screen says of a run on Gaussian data: its numbers beside their references, in words."""

from analysis.verdict import SURE

MANY_UNITS = 20  # so many variances stay on one line


def print_report(report, folder):
    """The report of the run in `folder` on the screen."""
    reference, gap = reference_names(report)
    lines = [
        ("ELBO, training rows", "elbo_train"),
        ("ELBO, held-out rows", "elbo_held_out"),
        (f"{reference}, same rows", "optimum"),
        ("log p(x), held-out rows", "log_px"),
        ("  best linear VAE", "linear_log_px"),
        (gap, "gap"),
        ("  of the model", "gap_model"),
        ("  of the encoder" if report["gap"] is not None else "ELBO below log p(x)", "gap_encoder"),
        ("    of the family", "gap_family"),
        ("    of amortization", "gap_amortization"),
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
    print("\nnats per data point               mean   std. error", end="")
    print(column_name(report))
    for label, name in lines:
        if report[name] is not None:
            best = exact.get(f"{name}_exact")
            best = "" if best is None else f"{best:z18.4f}"
            print(f"{label:<28}{report[name]:z10.4f}{report[name + '_se']:13.4f}{best}")
    variances = report["variance_of_mean"]
    n_active = f"{report['active_units']} of {len(variances)}"
    more = " ..." if len(variances) > MANY_UNITS else ""
    print(f"active units: {n_active}, variance of E[z|x]", end=" ")
    print(*(f"{v:.3f}" for v in variances[:MANY_UNITS]), end=f"{more}\n")
    if report["common_information"] is not None:
        nats, units = report["common_information"], report["common_information_units"]
        print(f"common information: {nats:.4f} nats in {units} {'unit' if units == 1 else 'units'}")
    for remark in remarks(report):
        print(remark)
    print(f"written to {folder}; open {folder / 'figures' / 'learning_curves.png'} first\n")
    for sentence in report.get("verdict", ()):
        print(sentence)


def reference_names(report):
    """What the reference and the distance from it are called on the screen."""
    if report["optimum_is"] == "exact":
        return "exact optimum", "gap to the optimum"
    if report["gaussian_applies"]:
        return "estimated optimum", "gap to the estimate"
    return "fitted Gaussian", "distance to the fit"


def column_name(report):
    """The heading of the last column: whether other models may beat the best linear VAE."""
    if report["bound_holds_for"] is None:
        return ""
    name = "best possible" if report["bound_holds_for"] == "all" else "best linear VAE"
    if report["optimum_is"] == "exact":
        return f"{name:>18}"
    return f"   {name}, if Gaussian"


def remarks(report):
    """What a reader of the numbers must know, a list of lines."""
    effective, draws = report["effective_samples"], report["log_px_draws"]
    doubtful, missed = report["log_px_doubtful_rows"], report["log_px_missed"]
    lines = [f"log p(x): {effective:.0f} of {draws} draws of z are effective (median)"]
    if missed > max(SURE * report["log_px_missed_se"], 0.005):
        lines.append(
            f"  the draws miss {100 * missed:.1f} % of p(z|x), estimated on data from the model "
            "itself: log p(x) may be too low, and the model's gap too large, by more than the error"
        )
    elif doubtful > 0.002:
        lines.append(
            f"  in {100 * doubtful:.1f} % of the rows fewer than 5 are: there log p(x) may be too "
            "low, and the model's gap too large, by more than the error"
        )
    if report["optimum_is"] == "exact" and report["gap"] < -5.0 * report["gap_se"]:
        lines.append(
            "the ELBO exceeds the optimum: the data are not from the distribution that was given"
        )
    if report["optimum_is"] is None:
        lines.append(f"no Gaussian reference: {report['why']}")
    elif report["optimum_is"] == "estimate" and report["gaussian_applies"]:
        lines.append("the optimum is an estimate: the Gaussian fitted to the training rows")
    elif report["optimum_is"] == "estimate":
        p = report["gaussian_p"]
        p = f"p = {p:.1g}" if p > 1e-15 else "p < 1e-15"
        lines.append(
            f"the data are clearly not Gaussian (Mardia's test, {p}): a good model exceeds the "
            "fitted Gaussian"
        )
    if report["bound_holds_for"] == "linear" and report["cost_bound"] is not None:
        lines.append(
            f"another model with as many units may cost less than the best linear VAE, "
            f"{report['cost_exact']:.4f}, but none less than {report['cost_bound']:.4f}"
        )
    if report["cost_exact"] is not None and report["rate_exact"] is None:
        lines.append("the best linear VAE copies a column (a Heywood case): no bound of its I(x;z)")
    return lines
