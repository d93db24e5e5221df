"""Seconds to generate a million samples, and whether their covariance is the model's.

    python benchmarks/generation_speed.py --model_dir results/vae

The model's own covariance is taken from ten million further samples.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import quiet_tensorflow  # noqa: F401 - before TensorFlow is imported

# isort: split
import numpy as np

import comparison
import vae_models

SAMPLES, ROUNDS, REFERENCE = 1_000_000, 5, 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model_dir", default="results/vae", help="folder of a trained VAE")
    model, _ = vae_models.load_model(parser.parse_args().model_dir)
    times = []
    for seed in range(ROUNDS):
        start = time.perf_counter()
        x = vae_models.generate(model, SAMPLES, seed)
        times.append(time.perf_counter() - start)
    more = (vae_models.generate(model, SAMPLES, ROUNDS + k) for k in range(REFERENCE))
    covariance = np.mean([np.cov(samples, rowvar=False) for samples in more], axis=0)
    error = comparison.relative_error(np.cov(x, rowvar=False), covariance)
    print(f"{SAMPLES} samples: median {statistics.median(times):.2f} s of {ROUNDS} rounds")
    print(f"relative error of their covariance {error:.4f} (Frobenius)")


if __name__ == "__main__":
    main()
