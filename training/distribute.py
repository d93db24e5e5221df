"""One training run on several devices: the GPUs of a machine, or several machines.

TensorFlow's strategies hold the same weights on every replica (a device at work). Every process
draws the same batches, each replica takes its rows of them, and the gradients of the replicas are
averaged over the whole batch before a step: docs/scaling.md. The first of several processes, the
chief, writes the results; the others write nothing.
"""

import atexit
import functools
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.errors import InputError, Stopped

OWN_TO_A_PROCESS = ("output_dir", "resume", "data_path")  # settings that may differ between workers
SECONDS_TO_WAIT = 300.0  # for the other workers, at the start
ADVICE = "start all of them again with the same command and --resume to go on from what is saved"


def start(args):
    """Make the devices ready and name them; before any tensor and after the flags are read.

    args: the parsed flags, with `distribute`: None, "mirrored" or "multi_worker". On a worker that
    is not the chief, output_dir becomes a folder that ends with the process, and nothing is shown.
    InputError: TF_CONFIG is wrong, the flags are not the chief's, or a replica would have no row.
    """
    strategy, whole = None, ""
    if args.distribute == "mirrored":
        strategy = mirrored_strategy()
    elif args.distribute == "multi_worker":
        addresses, number = read_tf_config(os.environ.get("TF_CONFIG"))
        whole = f"; {len(addresses)} workers"
        if number:
            become_worker(args)
        print(f"{len(addresses)} workers: waiting until all are there", flush=True)
        wait_for_all(addresses, number)
        strategy = connect()
    if strategy is not None or tf.distribute.has_strategy():
        tf.distribute.experimental_set_strategy(strategy)
    print(f"device: {device_name()}{whole}", flush=True)
    if strategy is not None:
        check_agreement(args)
        if args.batch_size < strategy.num_replicas_in_sync:
            raise InputError(
                f"--batch_size {args.batch_size}: is below the "
                f"{strategy.num_replicas_in_sync} replicas, each of which takes a part of it"
            )


@functools.cache
def mirrored_strategy():
    """The strategy of this machine's devices; a process has one, whose messages are numbered."""
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return tf.distribute.MirroredStrategy(tf.config.list_logical_devices(kind))


def device_name():
    """What a run computes on, such as "CPU, 2 cores" or "GPU NVIDIA H200"."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        known = hasattr(os, "sched_getaffinity")  # the cores that this process may use
        return f"CPU, {len(os.sched_getaffinity(0)) if known else os.cpu_count()} cores"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "")
    if len(gpus) == 1:
        return f"GPU {name}"
    if tf.distribute.has_strategy():
        return f"{len(gpus)} GPUs {name}"
    return f"GPU {name}, one of {len(gpus)} (--distribute mirrored uses all)"


def read_tf_config(text):
    """The workers' addresses (host, port) in a TF_CONFIG, and which this is; 0 is the chief.

    text: JSON, {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}};
    a job "chief" with one address may stand beside "worker". InputError: it is anything else.
    """
    try:
        config = json.loads(text or "null")
        cluster, task = config["cluster"], (config["task"]["type"], config["task"]["index"])
        tasks = [(job, i) for job in ("chief", "worker") for i in range(len(cluster.get(job, ())))]
        addresses = [*cluster.get("chief", ()), *cluster.get("worker", ())]
        addresses = [(host, int(port)) for host, port in (a.rsplit(":", 1) for a in addresses)]
        sound = cluster.keys() <= {"chief", "worker"} and len(cluster.get("chief", ())) <= 1
        sound = sound and all(host and 0 < port < 2**16 for host, port in addresses)
        if sound and task in tasks and len(set(addresses)) == len(addresses):
            return addresses, tasks.index(task)
        found = text
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        found = "not set" if text is None else text
    raise InputError(
        f"TF_CONFIG is {' '.join(found.split())[:200]}; --distribute multi_worker needs "
        '{"cluster": {"worker": ["host0:port", "host1:port"]}, '
        '"task": {"type": "worker", "index": 0}}, with the index of each machine'
    )


def become_worker(args):
    """Turn this process into one that writes nothing and shows nothing on stdout."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    args.output_dir, args.resume = str(Path(folder) / "run"), False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def wait_for_all(addresses, number):
    """Return when every worker has come; TensorFlow itself would wait without end, deaf to signals.

    The others knock at the chief's port until it says go. Stopped: one is missing after all.
    InputError: the port of this worker is in use.
    """
    deadline = time.monotonic() + SECONDS_TO_WAIT
    try:
        server = socket.create_server(("", addresses[number][1]))
    except OSError as error:
        raise InputError(f"TF_CONFIG: port {addresses[number][1]}: {error.strerror}") from None
    there = {}
    with server:
        while number == 0 and len(there) < len(addresses) - 1:
            server.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                connection, _ = server.accept()
                connection.settimeout(1.0)
                there[int(connection.recv(8))] = connection
            except TimeoutError:
                if time.monotonic() > deadline:
                    missing = [f"{a[0]}:{a[1]}" for i, a in enumerate(addresses) if i not in there]
                    raise not_there(", ".join(missing[1:])) from None
            except (OSError, ValueError):
                continue  # a stranger
    for connection in there.values():
        with connection:
            connection.sendall(b"go")
    while number and not says_go(addresses[0], number, deadline):
        if time.monotonic() > deadline:
            raise not_there("{}:{}, the chief, or another worker".format(*addresses[0]))
        time.sleep(0.1)


def says_go(chief, number, deadline):
    """Whether the chief lets this worker begin, once it is there and has all of them."""
    try:
        with socket.create_connection(chief, timeout=5.0) as connection:
            connection.sendall(str(number).encode())
            connection.settimeout(max(0.1, deadline - time.monotonic()))
            return connection.recv(2) == b"go"
    except OSError:
        return False


def not_there(who):
    return Stopped(f"{who}: not there after {SECONDS_TO_WAIT:.0f} s; nothing was begun")


def connect():
    """The strategy of the workers in TF_CONFIG; when one is lost, the others end in one line."""
    sys.excepthook = one_line_for_a_lost_worker
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # TensorFlow would swallow it
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def one_line_for_a_lost_worker(kind, error, traceback):
    """sys.excepthook: whatever a process was at when another one was lost ends it in one line."""
    lost = ("ollective", "oordination", "grpc", "GRPC")
    if not (issubclass(kind, tf.errors.OpError) and any(word in str(error) for word in lost)):
        sys.__excepthook__(kind, error, traceback)
        return
    reason = str(error).partition("aborted by: ")[2] or str(error)
    reason = reason.splitlines()[0][:200]
    print(f"{Path(sys.argv[0]).name}: a worker is lost ({reason}); {ADVICE}", file=sys.stderr)


def is_chief():
    """Whether this process writes the results: the only one, or the first of several."""
    return tf.distribute.get_strategy().extended.should_checkpoint


def from_chief(array):
    """The chief's numpy array of this shape, on every worker."""
    strategy = tf.distribute.get_strategy()
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(array * (context.replica_id_in_sync_group == 0))
    )
    return strategy.reduce("SUM", values, axis=None).numpy()


def text_from_chief(text):
    """The chief's text, on every worker."""
    own = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
    length = int(from_chief(np.int32(len(own))))
    return bytes(from_chief(np.resize(own, length)).astype(np.uint8)).decode()


def check_agreement(args):
    """InputError: another flag than the chief's, on this worker."""
    own = {name: v for name, v in vars(args).items() if name not in OWN_TO_A_PROCESS}
    chief = json.loads(text_from_chief(json.dumps(own)))
    for name, value in json.loads(json.dumps(own)).items():
        if value != chief[name]:
            raise InputError(
                f"--{name} {value}: the chief has {chief[name]}; give all workers the same flags"
            )


def signal_of_any(number):
    """The signal that a process got: this one's `number`, SIGTERM for another's, None for none."""
    if not tf.distribute.has_strategy():
        return number
    strategy = tf.distribute.get_strategy()
    noted = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(int(number is not None))
    )
    if strategy.reduce("SUM", noted, axis=None).numpy() == 0:
        return None
    return number or signal.SIGTERM


def rows_of_replica(batch_size, replica, n_replicas):
    """The rows of a batch that a replica takes, a slice, and their share of the whole batch.

    Shares add up to 1. A replica that is left without a row computes the first one, at share 0.
    """
    first, end = (batch_size * r // n_replicas for r in (replica, replica + 1))
    return slice(first, end) if end > first else slice(0, 1), (end - first) / batch_size


class AveragingOptimizer:
    """A Keras optimizer that takes the steps of the mean over a batch divided among replicas.

    Keras would add the replicas' gradients after it has clipped each; here they are averaged, by
    the replicas' shares of the batch, before Keras clips. They travel as one vector: a message
    costs its latency. share: that of the replica being traced.
    """

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.share = None
        optimizer._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars

    def apply(self, gradients, variables):
        shapes = [g.shape for g in gradients]
        together = self.share * tf.concat([tf.reshape(g, [-1]) for g in gradients], 0)
        together = tf.distribute.get_replica_context().all_reduce("SUM", together)
        parts = tf.split(together, [shape.num_elements() for shape in shapes])
        gradients = [tf.reshape(g, shape) for g, shape in zip(parts, shapes, strict=True)]
        self.optimizer.apply(gradients, variables)


def compile_steps(training_step, model, optimizer):
    """training.compile_steps where a strategy is at work: x and epsilon hold the whole batches.

    The terms are the means over the whole batches. XLA, untried with collectives, is not used.
    """
    strategy = tf.distribute.get_strategy()
    optimizer = AveragingOptimizer(optimizer)

    def replica_step(terms, x, epsilon, share, i):
        optimizer.share = share
        step_terms = share * tf.stack(training_step(model, optimizer, x[i], epsilon[i]))
        return tf.tensor_scatter_nd_update(terms, [[i]], [step_terms])

    @tf.function
    def run_steps(x, epsilon, share, n_steps):
        terms = strategy.run(lambda x: tf.zeros((x.shape[0], 2)), args=(x,))
        for i in tf.range(n_steps):
            terms = strategy.run(replica_step, args=(terms, x, epsilon, share, i))
        return strategy.reduce("SUM", terms, axis=None)

    def divided(part, batch_size):
        """part(rows, share) of each replica of this process."""

        def of_replica(context):
            number, n_replicas = context.replica_id_in_sync_group, context.num_replicas_in_sync
            return tf.constant(part(*rows_of_replica(batch_size, number, n_replicas)))

        return strategy.experimental_distribute_values_from_function(of_replica)

    def run_divided_steps(x, epsilon, n_steps):
        batch_size = x.shape[1]
        terms = run_steps(
            divided(lambda rows, share: x[:, rows], batch_size),
            divided(lambda rows, share: epsilon[..., rows, :], batch_size),
            divided(lambda rows, share: np.float32(share), batch_size),
            tf.constant(n_steps),
        )
        return terms.numpy()[:n_steps]

    return run_divided_steps
