"""One training run on several devices: the GPUs of a machine, or several machines.

Every process draws the same batches. Each replica (a device at work) computes the gradient of its
rows of them, a strategy of TensorFlow adds the replicas' parts up to the gradient of the whole
batch, and every process takes the same step with it: docs/developers/scaling.md. The first of
several processes, the chief, has the results; what the others write ends with them.
"""

import atexit
import contextlib
import functools
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.errors import InputError, Stopped, one_line

OWN_TO_A_PROCESS = ("output_dir", "resume", "data_path")  # flags that may differ between workers
strategy = None  # of this process, from start(); None: one device


def start(args):
    """Prepare the devices and print their name; after the flags are read, before any tensor.

    A worker that is not the chief gets an output_dir that ends with it, and prints nothing.
    InputError: TF_CONFIG is wrong, or the flags are not the chief's.
    """
    global strategy
    strategy = None
    if args.distribute == "mirrored":
        strategy = mirrored_strategy()
    elif args.distribute == "multi_worker":
        n_workers, is_chief = place_among_workers()
        if not is_chief:
            folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            atexit.register(folder.cleanup)
            args.output_dir, args.resume = str(Path(folder.name) / "run"), False
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
        print(f"{n_workers} workers: waiting for all of them", flush=True)
        strategy = connect()
        check_agreement(args)
    print(f"device: {device_name()}", flush=True)


@functools.cache
def mirrored_strategy():
    """The strategy of this machine's devices; one per process, since its messages are numbered."""
    gpus = tf.config.list_logical_devices("GPU")
    return tf.distribute.MirroredStrategy(gpus or tf.config.list_logical_devices("CPU"))


def device_name():
    """What this process computes on, such as "CPU, 2 cores" or "GPU NVIDIA H200"."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU, {os.cpu_count()} cores"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "")
    if len(gpus) > 1 and strategy is None:
        return f"GPU {name}, one of {len(gpus)} (--distribute mirrored uses all)"
    return f"GPU {name}, {len(gpus)} of them" if len(gpus) > 1 else f"GPU {name}"


def place_among_workers():
    """How many workers TF_CONFIG names, and whether this one is the chief: a job of that name, or
    else the first worker. InputError: TF_CONFIG is missing or damaged, or names an address twice.
    """
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    try:
        cluster = resolver.cluster_spec()
        jobs = cluster.as_dict()
        own = cluster.task_address(resolver.task_type, resolver.task_id)
    except (LookupError, TypeError, ValueError):  # TensorFlow's, for whatever stands there instead
        jobs = {}
    addresses = [address for job in jobs.values() for address in job]
    if not jobs or jobs.keys() - {"chief", "worker"} or len(addresses) > len(set(addresses)):
        raise InputError(
            f"TF_CONFIG is {one_line(os.environ.get('TF_CONFIG', 'not set'))}; --distribute "
            'multi_worker needs {"cluster": {"worker": ["host0:port", "host1:port"]}, '
            '"task": {"type": "worker", "index": 0}}, with the index of each machine'
        )
    chief = jobs.get("chief", jobs["worker"])[0]
    return len(addresses), own == chief


def connect():
    """The strategy of the workers in TF_CONFIG, once all are there: TensorFlow waits for them."""
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own would wait with it
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"TF_CONFIG: TensorFlow can't connect: {one_line(error)}") from None
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # TensorFlow's own would swallow it


@contextlib.contextmanager
def among_workers():
    """Stopped: TensorFlow raised an error, as it does at the first message to a lost worker."""
    try:
        yield
    except tf.errors.OpError as error:
        raise Stopped(
            f"TensorFlow ended the run, as it does when a worker is lost ({one_line(error)}); "
            "continue with the same command and --resume"
        ) from None


@among_workers()
def sum_of_replicas(value_of):
    """The sum of value_of(replica), an array of one shape, over all replicas of all processes."""
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(value_of(context.replica_id_in_sync_group))
    )
    return strategy.reduce("SUM", values, axis=None).numpy()


def from_chief(array):
    """The chief's numpy array of this shape, on every worker."""
    return sum_of_replicas(lambda replica: array * (replica == 0))


def text_from_chief(text):
    """The chief's text, on every worker."""
    own = np.frombuffer(text.encode(), np.uint8)
    length = from_chief(np.int32(len(own)))
    chief = from_chief(np.resize(own, length).astype(np.int32))
    return bytes(chief.astype(np.uint8)).decode()


def check_agreement(args):
    """InputError: a flag of this worker differs from the chief's."""
    own = {name: value for name, value in vars(args).items() if name not in OWN_TO_A_PROCESS}
    chief = json.loads(text_from_chief(json.dumps(own)))
    for name, value in own.items():
        if value != chief[name]:
            raise InputError(
                f"--{name} {value}: the chief has {chief[name]}; give all workers the same flags"
            )


def signal_of_any(number):
    """The signal that a process got: this one's `number`, SIGTERM for another's, None for none."""
    if strategy is None:
        return number
    noted = sum_of_replicas(lambda _: int(number is not None))
    return number or (signal.SIGTERM if noted else None)


class GradientNote:
    """Stands for the optimizer in a replica's training step: notes the gradients it is given."""

    def __init__(self, iterations):
        self.iterations = iterations

    def apply(self, gradients, variables):
        self.gradients = gradients


def compile_steps(training_step, model, optimizer):
    """loop.compile_steps where a strategy is at work: x and epsilon hold the whole batches.

    The terms are the means over the whole batches; so are the gradients that the optimizer clips
    and applies, once in each process. XLA, untried with collectives, is not used.
    """
    variables = model.trainable_variables

    def replica_step(x, epsilon):
        """Terms and gradients, summed over the replicas: one vector, as each message has a cost."""
        context, batch_size = tf.distribute.get_replica_context(), x.shape[0]
        replica, n = context.replica_id_in_sync_group, context.num_replicas_in_sync
        first = batch_size * replica // n
        end = batch_size * (replica + 1) // n
        rows = slice(first, tf.maximum(end, first + 1))  # an empty share takes one row, weight 0
        note = GradientNote(optimizer.iterations)
        terms = training_step(model, note, x[rows], epsilon[..., rows, :])
        parts = [tf.reshape(part, [-1]) for part in (*terms, *note.gradients)]
        share = tf.cast((end - first) / batch_size, tf.float32)
        return context.all_reduce("SUM", share * tf.concat(parts, 0))

    @tf.function
    def run_steps(x, epsilon, n_steps):
        all_terms = tf.TensorArray(tf.float32, n_steps, element_shape=(2,))
        for i in tf.range(n_steps):
            summed = strategy.run(replica_step, args=(x[i], epsilon[i]))
            summed = strategy.experimental_local_results(summed)[0]
            terms, *gradients = tf.split(summed, [2, *(v.shape.num_elements() for v in variables)])
            gradients = [tf.reshape(g, v.shape) for g, v in zip(gradients, variables, strict=True)]
            optimizer.apply(gradients, variables)
            all_terms = all_terms.write(i, terms)
        return all_terms.stack()

    @among_workers()
    def iterate(chunk):
        return run_steps(chunk.x, chunk.epsilon, tf.constant(chunk.n_steps)).numpy()

    return iterate
