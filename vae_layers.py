"""The networks of the VAE: layers named for the distributions they parameterize.

No loss and no sampling here; vae_models.py puts the networks together.
"""

import functools

import keras
import numpy as np
import tensorflow as tf


class FeedForward(keras.layers.Layer):
    """Hidden layers of the given widths and a linear head, (..., n_in) -> (..., n_out).

    Weights start at random after Glorot & Bengio (2010), biases at zero. With `batch_norm` each
    hidden layer is normalized before its activation (Ioffe & Szegedy, 2015).
    """

    def __init__(
        self,
        n_in,
        hidden_widths,
        n_out,
        seed_generator,
        activation="relu",
        batch_norm=False,
    ):
        super().__init__()
        initializer = keras.initializers.GlorotUniform(seed_generator)
        layers = [keras.Input((n_in,))]
        for width in hidden_widths:
            layers.append(keras.layers.Dense(width, kernel_initializer=initializer))
            if batch_norm:
                layers.append(keras.layers.BatchNormalization())
            layers.append(keras.layers.Activation(activation))
        layers.append(keras.layers.Dense(n_out, kernel_initializer=initializer))
        self.network = keras.Sequential(layers)
        # Traced once for any number of rows: Keras layers take 3 ms whenever they are called.
        self.of_rows = tf.function(
            functools.partial(self.network, training=False),
            input_signature=[tf.TensorSpec((None, n_in), self.compute_dtype)],
            autograph=False,
        )
        self.built = True

    def call(self, inputs, training=False):
        rows = tf.reshape(inputs, (-1, inputs.shape[-1]))
        outputs = self.network(rows, training=True) if training else self.of_rows(rows)
        return tf.reshape(outputs, tf.concat([tf.shape(inputs)[:-1], [outputs.shape[-1]]], axis=0))


class DiagonalGaussian(FeedForward):
    """Network of N(mean, diag(std^2)): (..., n_in) -> mean, log_std, each (..., n_out).

    The head has 2 * n_out columns, (mean, log_std) side by side.
    """

    def __init__(self, n_in, hidden_widths, n_out, seed_generator, **network):
        super().__init__(n_in, hidden_widths, 2 * n_out, seed_generator, **network)

    def start_log_std_at(self, log_std):
        """Let log_std, a number or (n_out,), be the same for every input before training."""
        kernel, bias = self.network.layers[-1].weights
        n_out = bias.shape[0] // 2
        kernel.assign(kernel * np.repeat([1.0, 0.0], n_out))
        bias.assign(np.concatenate([np.zeros(n_out), np.broadcast_to(log_std, n_out)]))

    def call(self, inputs, training=False):
        outputs = super().call(inputs, training=training)
        mean, log_std = tf.split(outputs, 2, axis=-1)
        return mean, log_std


class Encoder(DiagonalGaussian):
    """q_phi(z|x) = N(z; mean, diag(std^2)): x (..., data_dim) -> mean, log_std (..., n_dim).

    initial_std: the std of q(z|x) before training; None: random, about 1. A small one lets the
    decoder see x in z from the first step on, before the KL gives units up.
    """

    def __init__(self, n_in, hidden_widths, n_out, seed_generator, initial_std=None, **network):
        super().__init__(n_in, hidden_widths, n_out, seed_generator, **network)
        if initial_std is not None:
            self.start_log_std_at(np.log(initial_std))


class Decoder(DiagonalGaussian):
    """p_theta(x|z) = N(x; mean, diag(std^2)): z (..., n_dim) -> mean, log_std (..., data_dim).

    decoder_std: `learned`, a function of z; `shared`, one learned number; or a number. The last
    two keep the head's kernel of log_std at zero. A fixed std sits in untrained biases. The shared
    log_std is the mean of its biases in units of the data, where they stay equal.
    min_log_std: a soft lower bound of log_std, so that a gradient always leads away from it.
    log_scale: (data_dim,) log of what a unit of x is in units of the data, where they differ; a
    fixed or shared std and min_log_std are in units of the data.
    """

    def __init__(
        self,
        n_in,
        hidden_widths,
        n_out,
        seed_generator,
        decoder_std="learned",
        min_log_std=None,
        log_scale=0.0,
        **network,
    ):
        super().__init__(n_in, hidden_widths, n_out, seed_generator, **network)
        self.decoder_std = decoder_std
        self.min_log_std = None if min_log_std is None else float(min_log_std)
        self.log_scale = np.broadcast_to(log_scale, n_out)
        if decoder_std == "learned":
            self.start_log_std_at(0.0)
        elif decoder_std == "shared":
            self.start_log_std_at(np.mean(self.log_scale) - self.log_scale)
        elif decoder_std > 0.0:
            self.start_log_std_at(np.log(decoder_std) - self.log_scale)
        else:
            raise ValueError(f"decoder_std {decoder_std}")

    def call(self, inputs, training=False):
        mean, log_std = super().call(inputs, training=training)
        log_std = log_std + self.log_scale  # in units of the data
        if self.decoder_std == "shared":
            biases = self.network.layers[-1].bias[-len(self.log_scale) :]
            log_std = tf.fill(tf.shape(mean), tf.reduce_mean(biases + self.log_scale))
        elif self.decoder_std != "learned":
            log_std = tf.stop_gradient(log_std)
        if self.min_log_std is not None:
            log_std = self.min_log_std + tf.nn.softplus(log_std - self.min_log_std)
        return mean, log_std - self.log_scale


class OneHeadDecoder(FeedForward):
    """One number for each data dimension, logits or means: z (..., n_dim) -> (..., data_dim)."""
