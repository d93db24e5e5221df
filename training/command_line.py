"""What the command lines of all scripts share: checked numbers, flag files, one-line errors."""

import argparse
import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

from training.errors import InputError, Stopped


class Parser(argparse.ArgumentParser):
    """argparse with defaults in --help, @file for flags from a file, and errors of one line.

    A flag file holds flags as they are typed, on any number of lines; # starts a comment.
    """

    def __init__(self, description):
        super().__init__(
            description=description,
            fromfile_prefix_chars="@",
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )

    def convert_arg_line_to_args(self, arg_line):
        try:
            return shlex.split(arg_line, comments=True)
        except ValueError as error:
            self.error(f"a line of a flag file, {arg_line!r}: {error}")

    def _read_args_from_files(self, arg_strings):
        try:
            return super()._read_args_from_files(arg_strings)
        except UnicodeDecodeError:
            files = " ".join(arg for arg in arg_strings if arg.startswith("@"))
            self.error(f"{files}: is not UTF-8 text")

    def parse_args(self, args=None, namespace=None):
        parsed = super().parse_args(args, namespace)
        if getattr(parsed, "tensorboard", False) and find_spec("tensorboard") is None:
            self.error("--tensorboard: the package is not installed: pip install tensorboard")
        return parsed

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def whole_number(minimum):
    """An argparse type: an integer of at least `minimum`."""

    def convert(text):
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{text} is below {minimum}")
        return value

    convert.__name__ = "whole number"
    return convert


def log_std(text):
    """An argparse type: the logarithm of a std whose square float32 can hold."""
    value = float(text)
    if not -40 <= value <= 40:
        raise argparse.ArgumentTypeError(f"{text} is not between -40 and 40")
    return value


def positive(text):
    """An argparse type: a number above zero that float32 can hold."""
    value = float(text)
    if not 1e-37 < value < 1e37:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0 (1e-37 to 1e37)")
    return value


def non_negative(text):
    """An argparse type: zero or a number above it that float32 can hold."""
    if float(text) < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return 0.0 if float(text) == 0 else positive(text)


def seed(text):
    """An argparse type: an integer from 0 to 2^31 - 1."""
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 2^31 - 1")
    return value


def add_run_arguments(parser, output_dir):
    """The flags that every training script has in the same form."""
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--seed", type=seed, default=0, help="weights, split, shuffling, noise, drawn data"
    )
    run.add_argument("--output_dir", default=output_dir, help="folder of the results, new or empty")
    run.add_argument("--resume", action="store_true", help="continue an interrupted run")
    run.add_argument(
        "--tensorboard", action="store_true", help="also write what the package TensorBoard shows"
    )
    run.add_argument(
        "--distribute",
        choices=("mirrored", "multi_worker"),
        help="train on all GPUs of this machine, or on the machines in TF_CONFIG; None: one device",
    )


def run(main):
    """Call a script's main() and end the process with the status of the contract.

    Wrong input: one line on stderr and status 2. A run that stops before its end (divergence, a
    signal, a full disk): one line and the status that belongs to it.
    """
    try:
        main()
    except InputError as error:
        leave(f"error: {error}", 2)
    except Stopped as stopped:
        leave(str(stopped), stopped.status)
    except KeyboardInterrupt:
        leave("interrupted; a training run continues with the same command and --resume", 130)
    except BrokenPipeError:  # whoever read the output, such as head, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        leave(f"error: {error.filename or 'file'}: {error.strerror}", 1)


def leave(message, status):
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    sys.exit(status)
