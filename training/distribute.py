"""One training run on several devices: the GPUs of a machine, or several machines.

Every process draws the same batches. Each replica (a device at work) computes the gradient of its
rows of them, a strategy of TensorFlow adds the replicas' parts up to the gradient of the whole
batch, and every process takes the same step with it: docs/developers/scaling.md. The first of
several processes, the chief, has the results; what the others write ends with them.
"""

import atexit
import contextlib
import functools
import os
import shutil
import signal
import sys
import tempfile
import zlib
from pathlib import Path

import tensorflow as tf

from training.errors import InputError, Stopped, one_line

strategy = None  # of this process, from start(); None: one device


def start(args):
    """Prepare the devices and print their name; after the flags are read, before any tensor.

    A worker that is not the chief prints nothing and works in a folder that ends with it, with
    --resume in a copy of the chief's. InputError: TF_CONFIG is wrong, or the flags differ.
    """
    global strategy
    strategy = None
    if args.distribute == "mirrored":
        strategy = mirrored_strategy()
    elif args.distribute == "multi_worker":
        flags = {**vars(args), "output_dir": None, "data_path": None}  # these two may differ
        n_workers, is_chief = place_among_workers()
        if not is_chief:
            folder = tempfile.mkdtemp()
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            if args.resume and Path(args.output_dir).is_dir():
                shutil.copytree(args.output_dir, folder, dirs_exist_ok=True)
            args.output_dir = folder
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
        print(f"{n_workers} workers: waiting for all of them", flush=True)
        strategy = connect()
        check_agreement("flags", flags)
    print(f"device: {device_name()}", flush=True)


@functools.cache
def mirrored_strategy():
    """The strategy of this machine's devices; one per process, since its messages are numbered."""
    gpus = tf.config.list_logical_devices("GPU")
    return tf.distribute.MirroredStrategy(gpus or tf.config.list_logical_devices("CPU"))


def device_name():
    """What this process computes on, such as "CPU, 2 cores" or "GPU NVIDIA H200, 1 of 4"."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU, {os.cpu_count()} cores"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "")
    return f"GPU {name}, {1 if strategy is None else len(gpus)} of {len(gpus)}"


def place_among_workers():
    """How many workers TF_CONFIG names, and whether this one is the chief: the job of that name, or
    else the first worker. InputError: TF_CONFIG is missing or damaged, or names an address twice.
    """
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    try:
        cluster = resolver.cluster_spec()
        jobs = cluster.as_dict()
        own = cluster.task_address(resolver.task_type, resolver.task_id)
        addresses = jobs.get("chief", []) + jobs.get("worker", [])
    except (LookupError, TypeError, ValueError):  # whatever stands there instead
        jobs, addresses = {}, []
    if not jobs or jobs.keys() - {"chief", "worker"} or len(addresses) > len(set(addresses)):
        raise InputError(
            f"TF_CONFIG is {one_line(os.environ.get('TF_CONFIG', 'not set'))}; --distribute "
            'multi_worker needs {"cluster": {"worker": ["host0:port", "host1:port"]}, '
            '"task": {"type": "worker", "index": 0}}, with the index of each machine'
        )
    return len(addresses), own == addresses[0]


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
        if strategy is None:
            raise
        raise Stopped(
            f"TensorFlow ended the run, as it does when a worker is lost ({one_line(error)}); "
            "continue with the same command and --resume"
        ) from None


@among_workers()
def check_agreement(what, value):
    """InputError: this value is not the same in all processes."""
    if strategy is None:
        return
    code = zlib.crc32(repr(value).encode()) % 2**16  # of which a sum is an int32
    codes = strategy.run(lambda: tf.constant(code))
    if strategy.reduce("SUM", codes, axis=None) != code * strategy.num_replicas_in_sync:
        raise InputError(f"--distribute multi_worker: the {what} of the workers differ")


class GradientNote:
    """Stands for the optimizer in a replica's training step: notes the gradients it is given."""

    def __init__(self, iterations):
        self.iterations = iterations

    def apply(self, gradients, variables):
        self.gradients = gradients


def shared_step(training_step):
    """The training step of a whole batch, whose rows the replicas share.

    Its terms are the means over the whole batch; so are the gradients that the optimizer clips and
    applies, once in each process.
    """

    def step(model, optimizer, x, epsilon):
        def replica_step():
            """Terms and gradients: this replica's share of them, summed over all replicas."""
            context, batch_size = tf.distribute.get_replica_context(), x.shape[0]
            replica, n = context.replica_id_in_sync_group, context.num_replicas_in_sync
            first = batch_size * replica // n
            end = batch_size * (replica + 1) // n
            rows = slice(first, tf.maximum(end, first + 1))  # an empty share: one row, weight 0
            note = GradientNote(optimizer.iterations)
            terms = training_step(model, note, x[rows], epsilon[..., rows, :])
            share = tf.cast((end - first) / batch_size, tf.float32)
            return context.all_reduce("SUM", [share * part for part in (*terms, *note.gradients)])

        summed = strategy.run(replica_step)
        kl, log_px_z, *gradients = strategy.experimental_local_results(summed)[0]
        optimizer.apply(gradients, model.trainable_variables)
        return kl, log_px_z

    return step
