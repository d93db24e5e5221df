"""The final report of a run on images, in nats per image."""

from analysis import evaluation, latent
from images import data as image_data
from images import figures as image_figures
from images import models as image_models
from training import run_folder

REPORT_ROWS = 10_000  # at most so many training images are evaluated
REPORT_Z = 16  # draws of z for each test image


def held_out_elbo(model, images, seed, epoch):
    """The mean ELBO of the test images, one draw of z each: what every epoch shows."""
    return evaluation.mean_elbo(model, images.x_test, (seed, "epoch", epoch))


def finish(run, images):
    """Write everything a finished run leaves, report.json last; return the report."""
    args = run.args
    run.write_results("cost_function_vae.dat")
    history = run.position.history
    report = make_report(run.model, images, args)
    report["seconds"] = round(sum(row["seconds"] for row in history), 3)
    image_figures.elbo_per_epoch(
        run.folder / "figures" / "elbo_per_epoch.png",
        *([row[name] for row in history] for name in ("epoch", "elbo", "elbo_held_out")),
        image="image" if args.binarization == "none" else "binarized image",
    )
    run.log.add_pictures(args.n_epoch)
    run_folder.write_json(run.folder / "report.json", report)
    return report


def make_report(model, images, args):
    """The metrics of a trained model, a dictionary, each mean with its standard error `_se`."""
    x_train = image_data.training_sample(images, REPORT_ROWS, args.binarization, args.seed)
    x = images.x_test
    rows, _ = evaluation.rows_of_report(model, x_train, x, REPORT_Z, args.seed, args.beta)
    mean, log_std = evaluation.encode(model, x)
    units = latent.latent_units(mean, log_std)
    knowledge = latent.latent_information(mean, log_std, (args.seed, "report", 3))
    settings = {**vars(args), "data_dim": model.data_dim}
    report = {"beta": args.beta, "elbo_is": image_models.describe_bound(settings)}
    report |= evaluation.means(rows)
    report["elbo"] = report["elbo_held_out"]
    return report | knowledge | units.metrics()


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
    if report["active_units"] == 0:
        print("z carries no information about x: q(z|x) is still the prior; train for more epochs")
    least, most = report["mutual_information_at_least"], report["mutual_information"]
    print(f"information I(x;z): between {least:.2f} and {most:.2f} nats (docs/report.md)")
    print(f"written to {folder}; open {folder / 'figures' / 'elbo_per_epoch.png'} first")
