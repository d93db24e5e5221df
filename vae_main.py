"""Train a variational auto-encoder on jointly Gaussian data: python vae_main.py

The hyper-parameters, the training step, and the training ordered in epochs and iterations: the
'vae-main' of M. M. Hasan's guideline to the VAE (2021).
"""

import quiet_tensorflow  # noqa: F401 - before TensorFlow is imported

# isort: split
import tensorflow as tf

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
    command_line.add_run_arguments(parser, output_dir="results/vae")
    return parser.parse_args(argv)


def training_step(model, optimizer, x, epsilon):
    """One gradient step on the batch x (B, data_dim) with noise epsilon (B, n_dim).

    Returns the batch means of KL and log p(x|z) in nats.
    """
    with tf.GradientTape() as tape:
        kl, log_px_z = model.elbo_terms(x, epsilon)
        cost = cost_function(kl, log_px_z)  # -ELBO, Eq. (1) of the guideline
    gradients = tape.gradient(cost, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return tf.reduce_mean(kl), tf.reduce_mean(log_px_z)


def main(argv=None):
    args = parse_arguments(argv)
    distribute.start(args)
    data = data_processing.get_data(vars(args))
    batches = data_processing.Batches(data.x_train, args.batch_size, args.n_dim, args.seed)
    model = make_model(vars(args), data.standardization)
    all_steps = args.n_epoch * batches.steps
    optimizer = loop.make_optimizer(
        args.optimizer, args.lr, args.lr_schedule, all_steps, model, args.clip_norm
    )
    run_steps = loop.compile_steps(training_step, model, optimizer)

    with run_folder.claimed(
        args.output_dir, args, model="vae", standardization=data.standardization
    ) as folder:
        with (
            Progress(args.n_epoch) as progress,
            loop.Run(folder, model, optimizer, args, progress) as run,
        ):
            for epoch in run.epochs():
                for x, epsilon, n_steps in run.chunks(batches):
                    run.add(run_steps(x, epsilon, n_steps), batch_size=x.shape[1])
                run.end_epoch(gaussian_report.held_out_elbo(model, data, args.seed, epoch))
        report = gaussian_report.finish(run, data, args, beta=1.0, name="vae")
    gaussian_report.print_report(report, folder)


if __name__ == "__main__":
    command_line.run(main)
