"""What the command lines of all scripts share: checked numbers, flag files, one-line errors."""

import argparse
import os
import shlex
import sys
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from training.errors import InputError, Stopped

N_WIDTH = "neurons per hidden layer: one number for two layers, or one per layer of the encoder"
DECODER_STD = "std of p(x|z): learned (a function of z), shared (one learned number), or a number"
WEIGHT_DECAY = "weight decay; default: less for more rows, see docs/flags.md"
KEEP = "keep the weights of the epoch of highest validation ELBO, or of the last one"
yes_or_no = argparse.BooleanOptionalAction


class Parser(argparse.ArgumentParser):
    """argparse with defaults in --help, @file for flags from a file, and errors of one line.

    description: of which the first line is shown. A flag file holds flags as they are typed, on
    any number of lines; # starts a comment.
    """

    def __init__(self, description):
        self.flags = []
        super().__init__(
            description=description.partition("\n")[0],
            fromfile_prefix_chars="@",
            allow_abbrev=False,
        )

    def group(self, title):
        """A function that adds a flag, as add_argument does, under this title of --help."""
        group = self.add_argument_group(title)

        def add_flag(name, help, default=None, **options):
            self.flags.append(name)
            if default is not None:
                help += " (default: %(default)s)"
            group.add_argument(name, help=help, default=default, **options)

        return add_flag

    def convert_arg_line_to_args(self, arg_line):
        try:
            return shlex.split(arg_line, comments=True)
        except ValueError as error:
            self.error(f"flag file, line {arg_line!r}: {error}")

    def parse_known_args(self, args=None, namespace=None):
        try:
            return super().parse_known_args(args, namespace)
        except UnicodeDecodeError:
            self.error("a flag file (@) is not UTF-8 text")

    def parse_args(self, args=None, namespace=None):
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self.hint_for(unknown)}")
        return parsed

    def hint_for(self, unknown):
        """What the user may have meant by arguments that no flag takes."""
        if "ipykernel" in sys.modules and "-f" in unknown:
            return "; in a notebook pass a list of flags: main([])"
        near = get_close_matches(unknown[0], self.flags, 1, cutoff=0.75)
        return f"; did you mean {near[0]}?" if near else ""

    def error(self, message):
        if message.startswith("[Errno"):  # of a flag file that can't be opened
            message = message.partition("] ")[2]
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def number(convert, what, holds):
    """An argparse type for a number that satisfies `holds`; `what` describes it in the error."""

    def read(text):
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return value

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
    run = parser.group("run")
    run("--seed", type=seed, default=0, help="seed of weights, split, shuffling, noise, drawn data")
    run("--output_dir", default=f"results/{model}", help="new or empty folder for the results")
    run("--resume", action="store_true", help="continue an interrupted run", default=False)
    run("--tensorboard", action="store_true", help="also write logs for TensorBoard", default=False)
    run(
        "--distribute",
        choices=("mirrored", "multi_worker"),
        help="train on all GPUs of this machine, or on the machines in TF_CONFIG",
    )
    parser.set_defaults(model=model)


def parse_run(parser, argv):
    """The flags of a training script, those that exclude each other checked."""
    args = parser.parse_args(argv)
    if args.tensorboard and find_spec("tensorboard") is None:
        parser.error("--tensorboard: TensorBoard is not installed: pip install tensorboard")
    return args


def parse_gaussian_run(parser, argv):
    """parse_run, and what only the Gaussian mains have: defaults that depend on --data_path."""
    args = parse_run(parser, argv)
    of_file = args.data_path is not None
    if args.standardize is None:
        args.standardize = of_file
    if args.keep is None:
        args.keep = "best" if of_file else "last"
    if args.lr is None:
        args.lr = 0.003 if of_file else 0.004
    if args.min_log_std is not None and isinstance(args.decoder_std, float):
        parser.error("--min_log_std: is for a learned std, but --decoder_std fixes it")
    return args


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
