"""Train a variational auto-encoder on jointly Gaussian data: python vae_main.py

The hyper-parameters, the training step, and the training in epochs and iterations: the 'vae-main'
of M. M. Hasan's guideline to the VAE (2021).
"""

import quiet_tensorflow

import tensorflow as tf

import data_processing
from analysis import evaluation, gaussian_report, report_text, run_figures, verdict
from training import command_line, distribute, loop
from training.command_line import decoder_std, integer, log_std, non_negative, positive, yes_or_no
from training.run import training_run
from training.settings import ACTIVATIONS, LR_SCHEDULES, make_settings
from vae_models import cost_function, make_model


def parse_arguments(argv=None):
    """The hyper-parameters and their defaults."""
    parser = command_line.Parser(__doc__)
    data = parser.group("data")
    data("--data_path", help="table to train on: .dat, .txt, .csv, .npy; default: drawn data")
    data("--covariance_path", help="covariance of the known Gaussian; default: that in data/")
    data("--mean_path", help="its mean; default: 0 with --covariance_path, else that in data/")
    data("--mixture_path", help="a known mixture: weight, means, standard deviations in each row")
    data("--data_size", type=integer(4), default=100_000, help="rows to draw, or to read at most")
    data("--training_data_size", type=integer(2), help="rows to train on; default: 80 %% of them")
    data("--data_dim", type=integer(1), help="number of features; default: the columns of the data")
    data("--standardize", action=yes_or_no, help="standardize the columns; default: for files only")

    model = parser.group("model")
    model("--n_dim", type=integer(1), default=2, help="dimension of the latent z")
    model("--n_width", type=integer(1), nargs="+", default=[128], help=command_line.N_WIDTH)
    model("--activation", choices=ACTIVATIONS, default="relu", help="activation of hidden layers")
    model("--decoder_std", type=decoder_std, default="learned", help=command_line.DECODER_STD)
    model("--min_log_std", type=log_std, help="soft lower bound of a learned log std")

    train = parser.group("training")
    train("--n_epoch", type=integer(1), help="number of epochs; default: 10, more for few rows")
    train("--batch_size", type=integer(1), help="mini-batch size; default: 250, less for few rows")
    train("--lr", type=positive, help="learning rate; default: 0.004, for files 0.003")
    train("--lr_schedule", choices=LR_SCHEDULES, default="cosine", help="schedule of --lr")
    train("--optimizer", choices=loop.OPTIMIZERS, default="adam", help="optimizer")
    train("--clip_norm", type=positive, help="clip the global gradient norm at this value")
    train("--weight_decay", type=non_negative, help=command_line.WEIGHT_DECAY)
    train("--keep", choices=("best", "last"), help=command_line.KEEP)
    command_line.add_run_arguments(parser, model="vae")
    return command_line.parse_gaussian_run(parser, argv)


def training_step(model, optimizer, x, epsilon):
    """One gradient step on the batch x (B, data_dim) with noise epsilon (B, n_dim).

    Returns the batch means of the KL and of log p(x|z), in nats.
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
    data = data_processing.get_data(args)
    settings = make_settings(args, data)  # config.json: the flags, completed by what the data say
    loop.choose_threads(settings)
    model = make_model(settings)
    batches = data_processing.Batches(
        x=data.x_train, batch_size=settings.batch_size, n_dim=settings.n_dim, seed=settings.seed
    )
    n_steps = settings.n_epoch * batches.steps
    rate = loop.learning_rate(settings.lr, settings.lr_schedule, n_steps)
    optimizer = loop.make_optimizer(
        model, settings.optimizer, rate, settings.clip_norm, settings.weight_decay
    )
    iterate = loop.compile_steps(training_step, model, optimizer)

    with training_run(settings, model, optimizer) as run:
        for epoch in run.epochs():
            for chunk in run.chunks(batches):  # many batches at once: x and epsilon (K, B, ...)
                run.add(chunk, iterate(chunk))  # K iterations in one compiled call
            run.end_epoch(evaluation.followed_elbo(model, data, settings.seed, epoch))
        run.write_results()
        report, best = gaussian_report.make_report(model, data, settings)
        report["verdict"] = verdict.verdict(report, run.history, settings)
        run_figures.draw_run(run.folder, model, data, settings, run.history, report, best)
        run.finish(report)
    report_text.print_report(report, run.folder)


if __name__ == "__main__":
    command_line.run(main)
