"""Train a variational auto-encoder on MNIST: python mnist_vae_main.py

The hyper-parameters, the training step, and the training ordered in epochs and iterations, with
the likelihoods of the image documents: Bernoulli and Gaussian (J. Zhu's homework on VAEs, 2017)
and the squared error (Algorithm 1 of the VAE lab). Sets of settings: presets/*.args.
"""

import quiet_tensorflow  # noqa: F401 - before TensorFlow is imported

# isort: split
from functools import partial

import keras
import tensorflow as tf

import data_processing
from images import data as image_data
from images import models as image_models
from images import report as image_report
from training import command_line, distribute, loop, run_folder
from training.progress import Progress
from vae_models import cost_function


def parse_arguments(argv=None):
    """The hyper-parameters and their defaults."""
    parser = command_line.Parser(__doc__.partition("\n")[0])
    whole, positive = command_line.whole_number, command_line.positive
    add = parser.add_argument
    add("--data_path", help="an .npz file or a folder of idx files; None: Keras's own MNIST")
    add(
        "--binarization",
        choices=image_models.BINARIZATIONS,
        help="pixels drawn 0 or 1 anew each epoch, drawn once, or grey; "
        "None: dynamic for bernoulli, none for the others",
    )
    add("--likelihood", choices=image_models.LIKELIHOODS, default="bernoulli", help="p(x|z)")
    add(
        "--min_log_std",
        type=command_line.log_std,
        default=-3.0,
        help="lower bound of log std of the gaussian p(x|z): pixels that never change would else "
        "gain log-likelihood without end",
    )
    add("--n_dim", type=whole(1), default=40, help="dimension of the latent z")
    add(
        "--n_width",
        type=whole(1),
        nargs="+",
        default=[500],
        help="neurons of each hidden layer: one number for all, or one for each layer of the "
        "encoder (the decoder turns them round)",
    )
    add("--n_layers", type=whole(1), help="hidden layers; None: 2, or as many as --n_width names")
    add("--activation", choices=image_models.ACTIVATIONS, default="relu", help="of hidden layers")
    add("--batch_norm", action="store_true", help="normalise each hidden layer over the batch")
    add("--beta", type=command_line.non_negative, default=1.0, help="weight of the KL")
    add("--n_samples", type=whole(1), default=1, help="draws of z for each image in training")
    add("--n_epoch", type=whole(1), default=60, help="epochs")
    add("--batch_size", type=whole(1), default=200, help="images in a training step, at most all")
    add("--lr", type=positive, default=0.001, help="learning rate (Adam) of the first epoch")
    add(
        "--lr_schedule",
        choices=("constant", "steps", "burda2015"),
        default="constant",
        help="the course of the learning rate; burda2015: lr 10^(-i/7) for 3^i epochs, i = 0..7",
    )
    add("--lr_factor", type=positive, default=0.75, help="of the schedule steps")
    add("--lr_every", type=whole(1), default=200, help="epochs of each of the schedule's steps")
    add("--adam_epsilon", type=positive, default=1e-7, help="epsilon of Adam")
    add("--clip_norm", type=positive, help="longest gradient, as its norm; None: no limit")
    command_line.add_run_arguments(parser, output_dir="results/mnist_vae")
    args = parser.parse_args(argv)
    args.n_layers = args.n_layers or max(2, len(args.n_width))
    if len(args.n_width) == 1:
        args.n_width *= args.n_layers
    if len(args.n_width) != args.n_layers:
        parser.error(f"argument --n_width: {len(args.n_width)} numbers for {args.n_layers} layers")
    if args.batch_norm and args.distribute:
        parser.error("argument --batch_norm: its means are of a whole batch; not with --distribute")
    if args.binarization is None:
        args.binarization = "dynamic" if args.likelihood == "bernoulli" else "none"
    return args


def learning_rate_by_epoch(lr, lr_schedule, steps, factor, every):
    """A learning rate that changes between epochs of `steps` steps, as a number or Keras schedule.

    constant: lr. steps: times `factor` after each `every` epochs. burda2015: lr * 10^(-i/7) for
    3^i epochs, i = 0 to 7, 3280 epochs in all (Burda et al., 2015, Section 5).
    """
    if lr_schedule == "steps":
        return keras.optimizers.schedules.ExponentialDecay(lr, every * steps, factor, True)
    if lr_schedule == "burda2015":
        last_steps = [steps * (3 ** (i + 1) - 1) // 2 - 1 for i in range(7)]
        rates = [lr * 10 ** (-i / 7) for i in range(8)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(last_steps, rates)
    return lr


def training_step(model, optimizer, x, epsilon, beta):
    """One gradient step on the images x (B, data_dim) with noise epsilon (n_samples, B, n_dim).

    Returns the batch means of KL and log p(x|z) in nats.
    """
    x = tf.cast(x, tf.float32)  # binarised images come as bytes
    with tf.GradientTape() as tape:
        kl, log_px_z = model.elbo_terms(x, epsilon, training=True)
        cost = cost_function(kl, log_px_z, beta)
    gradients = tape.gradient(cost, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return tf.reduce_mean(kl), tf.reduce_mean(log_px_z)


def main(argv=None):
    args = parse_arguments(argv)
    distribute.start(args)
    images = image_data.get_images(args.data_path, args.binarization, args.seed)
    dynamic = args.binarization == "dynamic"
    make_batches = image_data.BinarizedBatches if dynamic else data_processing.Batches
    batches = make_batches(images.x_train, args.batch_size, args.n_dim, args.seed, args.n_samples)
    shapes = {"data_dim": images.x_train.shape[1], "image_shape": list(images.image_shape)}
    model = image_models.make_model({**vars(args), **shapes})
    if args.likelihood == "bernoulli":
        model.start_at_pixel_means(image_data.pixel_means(images.x_train, args.binarization))
    rate = learning_rate_by_epoch(
        args.lr, args.lr_schedule, batches.steps, args.lr_factor, args.lr_every
    )
    optimizer = keras.optimizers.Adam(
        rate, epsilon=args.adam_epsilon, global_clipnorm=args.clip_norm
    )
    optimizer.build(model.trainable_variables)
    step = partial(training_step, beta=tf.constant(args.beta))
    run_steps = loop.compile_steps(step, model, optimizer)

    with run_folder.claimed(args.output_dir, args, model="mnist_vae", **shapes) as folder:
        print(f"nats per image; held out: the {len(images.x_test)} test images")
        with (
            Progress(args.n_epoch) as progress,
            loop.Run(folder, model, optimizer, args, progress) as run,
        ):
            for epoch in run.epochs():
                for x, epsilon, n_steps in run.chunks(batches):
                    run.add(run_steps(x, epsilon, n_steps), batch_size=x.shape[1])
                run.end_epoch(image_report.held_out_elbo(model, images, args.seed, epoch))
        report = image_report.finish(run, images, args)
    image_report.print_report(report, folder)


if __name__ == "__main__":
    command_line.run(main)
