"""How fast is it? One question at a time; the answer is a table in docs/developers/speed.md.

training    microseconds of a step, beside the peers and the floor of benchmarks/peers
generation  seconds of a million samples, beside the same
quality     seconds of training until the gap is small, beside JAX and Keras
run         seconds of python vae_main.py, whole; --other FOLDER: beside another version
"""

import argparse

from benchmarks import speed, waiting

QUESTIONS = {
    "training": speed.training,
    "generation": speed.generation,
    "quality": waiting.quality,
    "run": waiting.run,
}


def main():
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks", epilog=__doc__, formatter_class=layout)
    parser.add_argument("question", choices=QUESTIONS)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--other", nargs="+", default=[], help="run: folders of other versions")
    args = parser.parse_args()
    QUESTIONS[args.question](args)


if __name__ == "__main__":
    main()
