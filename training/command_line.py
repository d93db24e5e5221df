"""What the command lines of all scripts share: checked numbers, flag files, one-line errors."""

import argparse
import os
import re
import shlex
import sys
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from training.errors import InputError, Stopped

N_WIDTH = "neurons per hidden layer: one number for two layers, or one per layer of the encoder"
DECODER_STD = "std of p(x|z): learned (a function of z), shared (one learned number), or a number"
yes_or_no = argparse.BooleanOptionalAction


class Parser(argparse.ArgumentParser):
    """argparse with defaults in --help, @file for flags from a file, and errors of one line.

    description: of which the first line is shown. A flag file holds flags as they are typed, on
    any number of lines; # starts a comment.
    """

    def __init__(self, description):
        super().__init__(
            description=description.partition("\n")[0],
            fromfile_prefix_chars="@",
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )

    def format_help(self):
        return re.sub(r"\s+\(default:\s+(None|False)\)", "", super().format_help())

    def convert_arg_line_to_args(self, arg_line):
        try:
            return shlex.split(arg_line, comments=True)
        except ValueError as error:
            self.error(f"flag file, line {arg_line!r}: {error}")

    def parse_known_args(self, args=None, namespace=None):
        try:
            parsed, rest = super().parse_known_args(args, namespace)
        except UnicodeDecodeError:
            self.error("a flag file (@) is not UTF-8 text")
        if getattr(parsed, "tensorboard", False) and find_spec("tensorboard") is None:
            self.error("--tensorboard: TensorBoard is not installed: pip install tensorboard")
        fixed_std = isinstance(getattr(parsed, "decoder_std", None), float)
        if fixed_std and parsed.min_log_std is not None:
            self.error("--min_log_std: is for a learned std, but --decoder_std fixes it")
        return parsed, rest

    def error(self, message):
        message = re.sub(r"^\[Errno \d+\] ", "", message)
        unknown = re.match(r"unrecognized arguments: (--\w+)", message)
        if unknown:
            flags = re.findall(r"--\w+", self.format_help())
            near = get_close_matches(unknown[1], flags, 1, cutoff=0.75)
            message += f"; did you mean {near[0]}?" if near else ""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def number(convert, what, holds):
    """An argparse type: a number of which `holds` is true; the error says that it is not `what`."""

    def read(text):
        try:
            value = convert(text)
            if holds(value):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")

    return read


def integer(minimum):
    """An argparse type: an integer of at least `minimum`."""
    return number(int, f"an integer of at least {minimum}", lambda value: value >= minimum)


# float32 holds numbers between these bounds, and the square of a std between its own.
seed = number(int, "an integer from 0 to 2147483647", lambda v: 0 <= v < 2**31)
positive = number(float, "a positive number (1e-37 to 1e37)", lambda v: 1e-37 < v < 1e37)
non_negative = number(float, "zero or a positive number", lambda v: v == 0 or 1e-37 < v < 1e37)
log_std = number(float, "a number from -40 to 40", lambda v: -40 <= v <= 40)
a_std = number(
    float, "'learned', 'shared' or a positive number (1e-18 to 1e18)", lambda v: 1e-18 < v < 1e18
)


def decoder_std(text):
    """An argparse type: `learned`, `shared`, or a positive number."""
    return text if text in ("learned", "shared") else a_std(text)


def add_run_arguments(parser, model):
    """The flags that all training scripts share; `model` names what the script trains."""
    run = parser.add_argument_group("run").add_argument
    run("--seed", type=seed, default=0, help="seed of weights, split, shuffling, noise, drawn data")
    run("--output_dir", default=f"results/{model}", help="new or empty folder for the results")
    run("--resume", action="store_true", help="continue an interrupted run")
    run("--tensorboard", action="store_true", help="also write logs for TensorBoard")
    run(
        "--distribute",
        choices=("mirrored", "multi_worker"),
        help="train on all GPUs of this machine, or on the machines in TF_CONFIG",
    )
    parser.set_defaults(model=model)


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
