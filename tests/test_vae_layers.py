import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import kstest, uniform

from vae_layers import Decoder, Encoder, FeedForward


def seeds():
    return keras.random.SeedGenerator(3)


def dense_layers(network):
    return [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]


def test_first_weights_are_uniform_at_the_scale_of_their_layer_and_biases_are_zero():
    for layer in dense_layers(FeedForward(60, (70, 50), 80, seeds()).network):
        kernel = layer.kernel.numpy().ravel()
        limit = np.sqrt(6 / sum(layer.kernel.shape))  # Glorot & Bengio (2010), Eq. (16)
        assert kstest(kernel, uniform(-limit, 2 * limit).cdf).pvalue > 1e-3
        assert not layer.bias.numpy().any()


def log_stds(network):
    """Those of five inputs; their means must differ."""
    mean, log_std = network(np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32))
    assert np.ptp(mean, axis=0).min() > 0.01
    return log_std.numpy()


def test_the_std_of_q_starts_at_the_same_value_for_every_x_or_at_random():
    same = log_stds(Encoder(4, (5, 6), 3, seeds(), initial_std=0.2))
    np.testing.assert_allclose(same, np.full((5, 3), np.log(0.2)), rtol=1e-6)
    assert np.ptp(log_stds(Encoder(4, (5, 6), 3, seeds())), axis=0).min() > 0.01


@pytest.mark.parametrize("scale", [0.0, np.array([0.5, -1.0, 2.0])])
def test_a_learned_std_of_x_starts_at_one_unit_of_the_networks(scale):
    assert not log_stds(Decoder(4, (5, 6), 3, seeds(), log_scale=scale)).any()


def test_batch_norm_normalizes_each_hidden_layer_before_its_activation():
    network = FeedForward(3, (5,), 2, seeds(), activation="tanh", batch_norm=True)
    dense, norm_layer, head = (layer for layer in network.network.layers if layer.weights)
    gamma, beta = np.linspace(0.5, 2, 5), np.linspace(-1, 1, 5)
    norm_layer.gamma.assign(gamma)
    norm_layer.beta.assign(beta)
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    before = x @ dense.kernel.numpy()

    def expected(mean, variance):
        standard = (before - mean) / np.sqrt(variance + norm_layer.epsilon)
        return np.tanh(gamma * standard + beta) @ head.kernel.numpy()

    at_start = expected(np.zeros(5), np.ones(5))
    np.testing.assert_allclose(network(x, training=False), at_start, rtol=1e-4, atol=1e-6)
    of_batch = expected(before.mean(axis=0), before.var(axis=0))
    np.testing.assert_allclose(network(x, training=True), of_batch, rtol=1e-4, atol=1e-6)
    assert np.abs(of_batch - at_start).max() > 1e-3


def train(decoder, z, lr):
    """Five steps that lower a cost in which mean and std both matter; z (B, n_in)."""
    optimizer = keras.optimizers.Adam(lr)
    for _ in range(5):
        with tf.GradientTape() as tape:
            mean, log_std = decoder(z)
            cost = tf.reduce_sum(tf.square(mean - 1.0) * tf.exp(-log_std) + log_std)
        gradients = tape.gradient(cost, decoder.trainable_variables)
        optimizer.apply(gradients, decoder.trainable_variables)


def test_a_std_given_as_a_number_stays_to_the_bit_through_training():
    decoder = Decoder(2, (5, 6), 3, seeds(), decoder_std=0.3)
    z = tf.constant(np.random.default_rng(0).normal(size=(4, 2)), tf.float32)
    before, log_std_before = decoder(z)
    np.testing.assert_array_equal(before, Decoder(2, (5, 6), 3, seeds())(z)[0])
    np.testing.assert_allclose(log_std_before, np.full((4, 3), np.log(0.3)), rtol=1e-6)
    train(decoder, z, lr=0.1)
    after, log_std = decoder(z)
    np.testing.assert_array_equal(log_std, log_std_before)
    assert np.abs(after - before).max() > 0.1
    head = dense_layers(decoder.network)[-1]
    assert not head.kernel.numpy()[:, 3:].any()


@pytest.mark.parametrize("scale", [1.0, np.array([0.5, 20.0, 3.0])], ids=["raw", "standardized"])
def test_a_shared_std_is_learned_and_stays_one_for_all_dimensions(scale):
    log_scale = np.log(scale)
    decoder = Decoder(2, (5, 6), 3, seeds(), decoder_std="shared", log_scale=log_scale)
    z = tf.constant(np.random.default_rng(0).normal(size=(4, 2)), tf.float32)
    start = decoder(z)[1].numpy() + log_scale  # in the units of the data
    np.testing.assert_allclose(start, np.full((4, 3), np.mean(log_scale)), atol=1e-6)
    train(decoder, z, lr=0.01)
    log_std = decoder(z)[1].numpy() + log_scale
    assert np.ptp(log_std) < 1e-6
    assert abs(log_std - start).max() > 1e-3
    head = dense_layers(decoder.network)[-1]
    assert not head.kernel.numpy()[:, 3:].any()
    biases = head.bias.numpy()[3:] + log_scale
    np.testing.assert_allclose(biases, log_std[0], atol=1e-6)


def test_the_lower_bound_of_a_std_is_in_units_of_the_data():
    log_scale = np.log([0.5, 20.0, 3.0])
    bounded = Decoder(2, (5, 6), 3, seeds(), min_log_std=0.4, log_scale=log_scale)
    z = tf.constant(np.random.default_rng(0).normal(size=(4, 2)), tf.float32)
    free = Decoder(2, (5, 6), 3, seeds())(z)[1].numpy() + log_scale
    log_std = bounded(z)[1].numpy() + log_scale
    np.testing.assert_allclose(log_std, 0.4 + np.logaddexp(0.0, free - 0.4), rtol=1e-5)


def test_a_linear_network_is_a_linear_map_whatever_its_depth():
    network = FeedForward(3, (5, 6), 4, seeds(), activation="linear")
    for layer in dense_layers(network.network):
        layer.kernel.assign(20.0 * layer.kernel)
        layer.bias.assign(np.linspace(-1, 1, layer.bias.shape[0]))
    x, y = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    between = network(0.3 * x + 0.7 * y)
    np.testing.assert_allclose(between, 0.3 * network(x) + 0.7 * network(y), rtol=1e-3, atol=1e-4)
    bent = FeedForward(3, (5, 6), 4, seeds(), activation="tanh")
    assert np.abs(bent(10 * x) - 10 * bent(x)).max() > 1e-3
