"""How fast is it? One question at a time; the answer is a table in docs/developers.

training    microseconds of a step, beside the peers of benchmarks/peers and the floor
generation  seconds of a million samples, beside the same
epoch       a whole epoch of vae_main.py beside its compiled calls
run         python vae_main.py, whole; --other FOLDER: beside another version, in turn
evaluate    log p(x) of images beside the matrix products of the decoder
large_data  an epoch whose rows stay in their file beside one in memory (Linux)
scaling     several machines, on paper
"""

import argparse


def main():
    lines = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks", None, __doc__, formatter_class=lines)
    questions = [line.split()[0] for line in __doc__.splitlines()[2:]]
    parser.add_argument("question", choices=questions)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each, beside a first one")
    parser.add_argument("--other", nargs="*", default=[], help="folders of other versions, for run")
    parser.add_argument("--only", nargs="*", default=[], help="such as 10-D 5 adam: cases to time")
    args = parser.parse_args()
    if args.question in ("training", "generation"):
        from benchmarks import beside_peers  # without TensorFlow, which the peers load themselves

        beside_peers.main(args.question, args.rounds, args.only)
        return
    from benchmarks import large_data, scaling, whole

    if args.question == "epoch":
        whole.epoch(args.rounds)
    elif args.question == "run":
        whole.run(args.rounds, args.other)
    elif args.question == "evaluate":
        whole.evaluate(args.rounds)
    elif args.question == "large_data":
        large_data.beside_memory(args.rounds)
    else:
        scaling.on_paper()


if __name__ == "__main__":
    main()
