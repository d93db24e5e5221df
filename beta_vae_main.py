"""Train a beta-VAE, or one for each of several beta, on Gaussian data: python beta_vae_main.py

The hyper-parameters, the training step, and the training ordered in epochs and iterations: the
'beta-vae-main' of M. M. Hasan's guideline to the beta-VAE (2022). With several values of --beta it
makes a sweep, whose table and picture are made in beta_sweep.py.
"""

import quiet_tensorflow  # noqa: F401 - before TensorFlow is imported

# isort: split
import argparse
import sys
from functools import partial
from pathlib import Path

import tensorflow as tf

import beta_sweep
import data_processing
from analysis import gaussian_report
from training import command_line, distribute, loop, run_folder
from training.progress import Progress
from vae_models import cost_function, make_model


def parse_arguments(argv=None):
    """The hyper-parameters and their defaults."""
    parser = command_line.Parser(__doc__.partition("\n")[0])
    whole, positive = command_line.whole_number, command_line.positive
    add = parser.add_argument
    add("--beta", type=command_line.non_negative, nargs="+", default=[4.0], help="weight of the KL")
    add("--data_path", help="a .dat, .txt, .csv or .npy file; None: drawn from a known Gaussian")
    add("--data_size", type=whole(2), default=100_000, help="rows to draw, or to use of the file")
    add("--training_data_size", type=whole(1), help="rows to train on; None: 80 %% of the rows")
    add("--data_dim", type=whole(1), default=10, help="numbers in a data point")
    add("--n_dim", type=whole(1), default=2, help="dimension of the latent z")
    add("--n_width", type=whole(1), default=128, help="neurons of each hidden layer")
    add("--n_epoch", type=whole(1), default=30, help="epochs")
    add(
        "--batch_size",
        type=whole(1),
        default=250,
        help="data points in a step, at most all",
    )
    add("--lr", type=positive, default=0.0007, help="learning rate")
    add(
        "--lr_schedule",
        choices=loop.LR_SCHEDULES,
        default="cosine",
        help="the course of the learning rate",
    )
    add("--optimizer", choices=loop.OPTIMIZERS, default="adam", help="the optimizer")
    std = parser.add_mutually_exclusive_group()
    std.add_argument("--decoder_std", type=positive, help="fixed std of p(x|z); None: learned")
    std.add_argument(
        "--min_log_std",
        type=command_line.log_std,
        help="soft lower bound of a learned log std of p(x|z); None: no bound",
    )
    add("--clip_norm", type=positive, help="longest gradient, as its norm; None: no limit")
    add("--standardize", action="store_true", help="train on columns of mean 0 and std 1")
    command_line.add_run_arguments(parser, output_dir="results/beta_vae")
    args = parser.parse_args(argv)
    if len({f"{beta:g}" for beta in args.beta}) < len(args.beta):  # the names of the folders
        parser.error("argument --beta: a value stands there twice")
    if len(args.beta) > 1 and args.distribute == "multi_worker":
        parser.error("argument --beta: one value with multi_worker, or a machine for each value")
    return args


def training_step(model, optimizer, x, epsilon, beta):
    """One gradient step on the batch x (B, data_dim) with noise epsilon (B, n_dim).

    Returns the batch means of KL and log p(x|z) in nats.
    """
    with tf.GradientTape() as tape:
        kl, log_px_z = model.elbo_terms(x, epsilon)
        cost = cost_function(kl, log_px_z, beta)  # Eq. (1) of the beta-VAE guideline
    gradients = tape.gradient(cost, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return tf.reduce_mean(kl), tf.reduce_mean(log_px_z)


def train(args, data, batches, beta, folder, progress):
    """Train one beta-VAE into the folder; return its report."""
    model = make_model(vars(args), data.standardization)
    all_steps = args.n_epoch * batches.steps
    optimizer = loop.make_optimizer(
        args.optimizer, args.lr, args.lr_schedule, all_steps, model, args.clip_norm
    )
    step = partial(training_step, beta=tf.constant(beta))
    run_steps = loop.compile_steps(step, model, optimizer)
    with loop.Run(folder, model, optimizer, args, progress) as run:
        for epoch in run.epochs():
            for x, epsilon, n_steps in run.chunks(batches):
                run.add(run_steps(x, epsilon, n_steps), batch_size=x.shape[1])
            run.end_epoch(gaussian_report.held_out_elbo(model, data, args.seed, epoch))
    return gaussian_report.finish(run, data, args, beta, name="beta_vae")


def claimed(folder, args, data, beta):
    """The folder of one run, held for it, with the one beta in its config.json."""
    settings = argparse.Namespace(**{**vars(args), "beta": beta})
    return run_folder.claimed(
        folder, settings, model="beta_vae", standardization=data.standardization
    )


def sweep(args, data, batches):
    """Train one beta-VAE for each beta, then put them beside the theory."""
    output_dir = Path(args.output_dir)
    reports = []
    with (
        run_folder.claimed(output_dir, args, model="beta_vae sweep"),
        Progress(args.n_epoch, len(args.beta)) as progress,
    ):
        warn_of_no_minimum(args)
        for beta in args.beta:
            progress.label = f"beta {beta:g}  "
            folder = output_dir / f"beta_{beta:g}"
            report = args.resume and run_folder.report_of_finished_run(folder, args.n_epoch)
            if report:
                progress.skip(args.n_epoch)
            else:
                with claimed(folder, args, data, beta):
                    report = train(args, data, batches, beta, folder, progress)
            reports.append(report)
        beta_sweep.write(output_dir, reports)
        if any(report["cost_exact"] is not None for report in reports):
            picture = output_dir / "figures" / "beta_sweep.png"
            beta_sweep.draw(picture, reports, data, args.n_dim, args.decoder_std)
    beta_sweep.print_table(reports, output_dir)


def warn_of_no_minimum(args):
    if min(args.beta) < 1 and args.decoder_std is None and args.min_log_std is None:
        print(
            f"warning: beta {min(args.beta):g} with a learned decoder std: the cost has no minimum "
            "(a coordinate can be copied ever more exactly), so no optimum is shown",
            file=sys.stderr,
        )


def main(argv=None):
    args = parse_arguments(argv)
    distribute.start(args)
    data = data_processing.get_data(vars(args))
    batches = data_processing.Batches(data.x_train, args.batch_size, args.n_dim, args.seed)
    if len(args.beta) > 1:
        sweep(args, data, batches)
        return
    (beta,) = args.beta
    with (
        claimed(args.output_dir, args, data, beta) as folder,
        Progress(args.n_epoch) as progress,
    ):
        warn_of_no_minimum(args)
        report = train(args, data, batches, beta, folder, progress)
    gaussian_report.print_report(report, folder)


if __name__ == "__main__":
    command_line.run(main)
