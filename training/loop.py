"""The compiled training loop: optimizer, learning rate, and many steps in one call."""

import itertools

import keras
import tensorflow as tf

from training import distribute

OPTIMIZERS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
RISE = 0.2  # of the steps, in which the rate of Gaussian runs rises
SMALL_STEP = 5_000_000  # multiplications of a forward pass; larger steps gain by a second thread


def choose_threads(settings):
    """One thread for each operation where steps are small; before any tensor, in every main.

    Threads would wait longer than they work there, and what they add up would depend on their
    number: with one, a run gives the same bits on any number of cores. Several operations may still
    run at once. The first run in a process decides for those that follow it.
    """
    widths = settings.n_width * 2 if len(settings.n_width) == 1 else settings.n_width
    sizes = [settings.data_dim, *widths, settings.n_dim]
    weights = 2 * sum(n_in * n_out for n_in, n_out in itertools.pairwise(sizes))
    if weights * settings.batch_size > SMALL_STEP or settings.distribute is not None:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:  # TensorFlow is at work already: an earlier run in this process
        pass


def make_optimizer(model, name, rate, clip_norm=None, weight_decay=0.0, **options):
    """A Keras optimizer of the model's weights, `adam` or `sgd`, ready for a compiled step.

    rate: a number or a Keras schedule. A gradient whose norm, over all weights, is above clip_norm
    is scaled down to it. weight_decay: before each step every matrix, not the biases, loses this
    part of itself times the rate. options: more arguments of Keras's optimizer.
    """
    optimizer = OPTIMIZERS[name](
        rate, global_clipnorm=clip_norm, weight_decay=weight_decay or None, **options
    )
    if weight_decay > 0:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(model.trainable_variables)
    return optimizer


def learning_rate(lr, lr_schedule, n_steps, rise=RISE):
    """The rate of all n_steps steps: `constant`, lr throughout; `cosine`, falling from lr to zero.

    It falls as half a cosine (Loshchilov & Hutter, 2017), and before that rises from zero in the
    share `rise` of the steps: the first ones, if large, follow the KL before the decoder needs z.
    """
    if lr_schedule == "constant":
        return lr
    n_rising = int(rise * n_steps)
    if n_rising == 0:
        return keras.optimizers.schedules.CosineDecay(lr, n_steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=n_steps - n_rising,
        warmup_target=lr,
        warmup_steps=n_rising,
    )


def compile_steps(training_step, model, optimizer):
    """Many training steps in one compiled call.

    training_step(model, optimizer, x, epsilon) -> (kl, log_px_z), means over the batch.
    Returns iterate(chunk) -> (n_steps, 2) float32, the terms of each step of a
    data_processing.Chunk: x (K, B, data_dim), epsilon (K, B, n_dim), n_steps up to K. A call costs
    about a millisecond whatever it holds; a step inside the compiled loop costs its arithmetic.
    Noise is an argument because random numbers are slow, and differ, in compiled code.
    """
    if distribute.strategy is not None:
        training_step = distribute.shared_step(training_step)
    # It has no branches for AutoGraph, which would read its code for 0.3 s.
    training_step = tf.autograph.experimental.do_not_convert(training_step)

    @tf.function(jit_compile=distribute.strategy is None)  # XLA is untried with several devices
    def run_steps(x, epsilon, n_steps):
        terms = tf.TensorArray(tf.float32, x.shape[0], element_shape=(2,))
        i = tf.constant(0)
        while i < n_steps:  # not tf.range(n_steps): XLA would compile anew for each n_steps
            step_terms = tf.stack(training_step(model, optimizer, x[i], epsilon[i]))
            terms = terms.write(i, step_terms)
            i += 1
        return terms.stack()

    @distribute.among_workers()
    def iterate(chunk):
        n_steps = tf.constant(chunk.n_steps)
        terms = run_steps(chunk.x, chunk.epsilon, n_steps)
        return terms.numpy()[: chunk.n_steps]

    return iterate
