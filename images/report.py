"""The final report of a run on images, in nats per image."""

from analysis import evaluation, latent
from images import data as image_data
from images import figures as image_figures
from images import models as image_models

REPORT_ROWS = 10_000  # at most so many training images are evaluated
REPORT_Z = 16  # draws of z for each test image


def held_out_elbo(model, images, seed, epoch):
    """The mean ELBO of the test images, one draw of z each: what every epoch shows."""
    return evaluation.mean_elbo(model, images.x_test, (seed, "epoch", epoch))


def draw_run(folder, settings, history):
    """The picture of a finished run, into its folder figures/."""
    name = "image" if settings.binarization == "none" else "binarized image"
    image_figures.elbo_per_epoch(
        folder / "figures" / "elbo_per_epoch.png",
        [row["epoch"] for row in history],
        [row["elbo"] for row in history],
        [row["elbo_held_out"] for row in history],
        image=name,
    )


def make_report(model, images, settings):
    """The metrics of a trained model, a dictionary, each mean with its standard error `_se`."""
    seed, beta = settings.seed, settings.beta
    x_train = image_data.training_sample(images, REPORT_ROWS, settings.binarization, seed)
    x = images.x_test
    rows, _ = evaluation.rows_of_report(model, x_train, x, REPORT_Z, seed, beta)
    mean, log_std = evaluation.encode(model, x)
    units = latent.latent_units(mean, log_std)
    knowledge = latent.latent_information(mean, log_std, (seed, "report", 3))
    report = {"beta": beta, "elbo_is": image_models.describe_bound(settings)}
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
