"""Train a variational auto-encoder on MNIST: python mnist_vae_main.py

The hyper-parameters, the training step, and the training in epochs and iterations, with the
likelihoods of the image documents: Bernoulli and Gaussian (J. Zhu's homework on VAEs, 2017) and
the squared error (Algorithm 1 of the VAE lab). Sets of settings: presets/*.args.
"""

import quiet_tensorflow

from functools import partial

import keras
import tensorflow as tf

import data_processing
from analysis import evaluation
from images import data as image_data
from images import models as image_models
from images import report as image_report
from training import command_line, distribute, loop
from training.command_line import integer, log_std, non_negative, positive
from training.run import training_run
from training.settings import ACTIVATIONS, IMAGE_SCHEDULES, make_image_settings
from vae_models import cost_function, iwae_cost

OBJECTIVE = "what is maximized: the ELBO, or the bound of Burda et al. (2015) from n_samples draws"
OUTPUT_BIAS = "where the logits of a bernoulli start: at those of the pixels' means, or at zero"


def parse_arguments(argv=None):
    """The hyper-parameters and their defaults."""
    parser = command_line.Parser(__doc__)
    data = parser.group("data")
    data("--data_path", help=".npz, .npy or folder of idx files; default: Keras's own MNIST")
    data(
        "--binarization",
        choices=("dynamic", "static", "none"),
        help="how to draw pixels as 0 or 1; default: dynamic for bernoulli, else none",
    )

    model = parser.group("model")
    model("--likelihood", choices=image_models.MODELS, default="bernoulli", help="form of p(x|z)")
    model("--min_log_std", type=log_std, default=-3.0, help="lower bound of a gaussian log std")
    model("--beta", type=non_negative, default=1.0, help="weight of the KL divergence")
    model("--n_dim", type=integer(1), default=40, help="dimension of the latent z")
    model("--n_width", type=integer(1), nargs="+", default=[500], help=command_line.N_WIDTH)
    model("--activation", choices=ACTIVATIONS, default="relu", help="activation of hidden layers")
    model("--batch_norm", action="store_true", default=False, help="normalize hidden layers")
    model("--output_bias", choices=("mean", "zero"), default="zero", help=OUTPUT_BIAS)

    train = parser.group("training")
    train("--objective", choices=("elbo", "iwae"), default="elbo", help=OBJECTIVE)
    train("--n_samples", type=integer(1), default=1, help="draws of z per image and step")
    train("--warm_up", type=integer(0), default=5, help="epochs over which beta rises from 0")
    train("--n_epoch", type=integer(1), default=60, help="number of epochs")
    train("--batch_size", type=integer(1), default=100, help="mini-batch size")
    train("--lr", type=positive, default=0.001, help="learning rate of the first epoch")
    train("--lr_schedule", choices=IMAGE_SCHEDULES, default="cosine", help="learning-rate schedule")
    train("--lr_factor", type=positive, default=0.75, help="step factor of --lr_schedule steps")
    train("--lr_every", type=integer(1), default=200, help="epochs per step of that schedule")
    train("--keep", choices=("best", "last"), default="last", help=command_line.KEEP)
    train("--adam_epsilon", type=positive, default=1e-7, help="epsilon of Adam")
    train("--clip_norm", type=positive, help="clip the global gradient norm at this value")
    command_line.add_run_arguments(parser, model="mnist_vae")
    args = command_line.parse_run(parser, argv)
    if args.batch_norm and args.distribute:
        parser.error("argument --batch_norm: needs whole batches; not possible with --distribute")
    if args.objective == "iwae" and args.beta != 1:
        parser.error("argument --objective: iwae is a bound at --beta 1 alone")
    if args.binarization is None:
        args.binarization = "dynamic" if args.likelihood == "bernoulli" else "none"
    return args


def learning_rate(settings, steps):
    """The rate of a run whose epochs have `steps` steps, as a number or Keras schedule.

    constant: lr. cosine: see loop.learning_rate. steps: times lr_factor after each lr_every epochs.
    burda2015: lr * 10^(-i/7) for 3^i epochs, i = 0 to 7, 3280 epochs in all (Burda et al., 2015,
    Section 5).
    """
    if settings.lr_schedule == "steps":
        return keras.optimizers.schedules.ExponentialDecay(
            settings.lr, settings.lr_every * steps, settings.lr_factor, staircase=True
        )
    if settings.lr_schedule == "burda2015":
        last_steps = [steps * (3 ** (i + 1) - 1) // 2 - 1 for i in range(7)]
        rates = [settings.lr * 10 ** (-i / 7) for i in range(8)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(last_steps, rates)
    n_steps = settings.n_epoch * steps
    return loop.learning_rate(settings.lr, settings.lr_schedule, n_steps, rise=0.0)


def warmed_up(beta, step, warm_up_steps):
    """The beta of this step, counted from 0: it rises linearly from 0 over the first steps.

    A warm-up of the KL (Bowman et al., 2015; Sønderby et al., 2016), so that units are not given up
    before the decoder has learned to use them.
    """
    if warm_up_steps == 0:
        return beta
    return beta * tf.minimum(1.0, tf.cast(step, tf.float32) / warm_up_steps)


def training_step(model, optimizer, x, epsilon, beta, warm_up_steps=0, objective="elbo"):
    """One gradient step on the images x (B, data_dim) with noise epsilon (n_samples, B, n_dim).

    Returns the batch means of the KL and of log p(x|z), in nats.
    """
    x = tf.cast(x, tf.float32)  # binarized images come as bytes
    beta = warmed_up(beta, optimizer.iterations, warm_up_steps)
    with tf.GradientTape() as tape:
        if objective == "iwae":
            kl, log_px_z, log_p_over_q = model.weight_terms(x, epsilon, training=True)
            cost = iwae_cost(log_px_z + beta * log_p_over_q)
        else:
            kl, log_px_z = model.elbo_terms(x, epsilon, training=True)
            cost = cost_function(kl, log_px_z, beta)
    gradients = tape.gradient(cost, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return tf.reduce_mean(kl), tf.reduce_mean(log_px_z)


def main(argv=None):
    args = parse_arguments(argv)
    distribute.start(args)
    images = image_data.get_images(args.data_path, args.binarization, args.seed, args.keep)
    settings = make_image_settings(args, images)
    loop.choose_threads(settings)
    model = image_models.make_model(settings)
    if settings.likelihood == "bernoulli" and settings.output_bias == "mean":
        model.start_at_pixel_means(image_data.pixel_means(images.x_train, settings.binarization))
    batches = data_processing.Batches(
        x=images.x_train,
        batch_size=settings.batch_size,
        n_dim=settings.n_dim,
        seed=settings.seed,
        n_samples=settings.n_samples,
        prepare=image_data.binarize if settings.binarization == "dynamic" else None,
    )
    rate = learning_rate(settings, batches.steps)
    optimizer = loop.make_optimizer(
        model, "adam", rate, settings.clip_norm, epsilon=settings.adam_epsilon
    )
    step = partial(
        training_step,
        beta=tf.constant(settings.beta),
        warm_up_steps=settings.warm_up * batches.steps,
        objective=settings.objective,
    )
    iterate = loop.compile_steps(step, model, optimizer)

    print(f"nats per image; held out: the {len(images.x_test)} test images")
    with training_run(settings, model, optimizer) as run:
        for epoch in run.epochs():
            for chunk in run.chunks(batches):
                run.add(chunk, iterate(chunk))
            elbo = evaluation.followed_elbo(model, images, settings.seed, epoch)
            if settings.warm_up > 0:
                share = min(1.0, epoch / settings.warm_up)
                run.end_epoch(elbo, beta=settings.beta * share)  # at its end
            else:
                run.end_epoch(elbo)
        run.write_results()
        report = image_report.make_report(model, images, settings)
        report["verdict"] = image_report.verdict(report, run.history, settings)
        image_report.draw_run(run.folder, settings, run.history)
        run.finish(report)
    image_report.print_report(report, run.folder)


if __name__ == "__main__":
    command_line.run(main)
