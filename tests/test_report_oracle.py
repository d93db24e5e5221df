"""Reports of varied runs against float64 numpy, which reads nothing of them but the weights."""

import numpy as np
import pytest
from helpers import read_json
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import beta_vae_main
from analysis import run_figures

RUNS = 30
ROUNDING = 2e-5  # nats of float32 networks
LOG_2_PI = np.log(2 * np.pi)
DOUBTED = ("log_px", "gap_model", "gap_encoder")  # where the screen warns of them


class Case:
    """Run number k: what its data are and its flags, all drawn at random."""

    def __init__(self, k, folder):
        rng = np.random.default_rng((7, k))
        self.rng = rng
        self.folder = folder / "run"
        self.dim = int(rng.choice([1, 2, 3, 5, 8, 13, 30]))
        self.n_dim = int(rng.choice([1, 2, 3, 5, 12]))
        self.beta = float(rng.choice([0.1, 0.5, 1, 1, 1, 1.2, 2, 4, 30]))
        self.kind = ["drawn", "drawn", "file", "exponential"][k % 4]
        factors = rng.normal(size=(self.dim, rng.integers(1, 4)))
        noise = np.diag(rng.uniform(0.02, 1.0, self.dim))
        self.covariance = factors @ factors.T + noise
        self.mean = rng.normal(size=self.dim) * (1e4 if k % 3 == 0 else 1.0)
        np.savetxt(folder / "c.dat", self.covariance, fmt="%.17g")
        np.savetxt(folder / "m.dat", self.mean, fmt="%.17g")
        flags = {
            "beta": self.beta,
            "n_dim": self.n_dim,
            "n_width": rng.choice([8, 32]),
            "n_epoch": rng.choice([1, 4, 30]),
            "data_size": rng.choice([600, 4000]),
            "lr": rng.choice([0.001, 0.004]),
            "activation": rng.choice(["relu", "tanh", "linear"]),
            "decoder_std": rng.choice(["learned", "learned", "shared", "0.5"]),
            "batch_size": 50,
            "seed": k,
            "output_dir": self.folder,
        }
        if flags["decoder_std"] != "0.5" and (rng.random() < 0.3 or self.beta < 1):
            flags["min_log_std"] = -1.5
        if self.kind == "drawn":
            flags["covariance_path"] = folder / "c.dat"
            flags["mean_path"] = folder / "m.dat"
        else:
            np.save(folder / "x.npy", self.draw(int(flags["data_size"])))
            flags["data_path"] = folder / "x.npy"
        self.argv = [str(text) for name, v in flags.items() for text in (f"--{name}", v)]
        if k in (9, 21):  # drawn and far from zero, as others that are not standardized
            self.argv.append("--standardize")

    def draw(self, n_rows):
        x = self.rng.multivariate_normal(self.mean, self.covariance, n_rows)
        if self.kind == "exponential":
            return self.mean + np.exp(0.3 * (x - self.mean) / np.sqrt(np.diag(self.covariance)))
        return x


class Networks:
    """Encoder and decoder of a run folder, from the text of their weights."""

    def __init__(self, folder):
        self.folder = folder
        self.config = read_json(folder / "config.json")
        self.encode = self.read("Encoder", (1, 2, 3))
        self.decode = self.read("Decoder", (4, 5, 6))

    def read(self, name, numbers):
        W = [np.loadtxt(self.folder / f"{name}_W{k}.dat", ndmin=2) for k in numbers]
        b = [np.loadtxt(self.folder / f"{name}_b{k}.dat", ndmin=1) for k in numbers]
        activation = {"relu": lambda a: np.maximum(a, 0), "tanh": np.tanh, "linear": lambda a: a}
        bound = self.config["min_log_std"] if name == "Decoder" else None

        def network(inputs):
            for k in (0, 1):
                inputs = activation[self.config["activation"]](inputs @ W[k] + b[k])
            mean, log_std = np.split(inputs @ W[2] + b[2], 2, axis=-1)
            if bound is not None and self.config["decoder_std"] in ("learned", "shared"):
                log_std = bound + np.logaddexp(0.0, log_std - bound)
            return mean, log_std

        return network

    def log_px_of(self, x):
        """log p(x) of each row and its variance, from draws of several widths about q and z = 0."""
        rng = np.random.default_rng(0)
        mean, log_std = self.encode(x)
        proposals = [(mean, np.exp(log_std) * width) for width in (1.0, 1.5, 3.0)]
        power = min(self.config["beta"], 100.0)
        precision = np.maximum(power * np.exp(-2 * log_std) + 1 - power, 1.0)
        proposals.append((power * mean * np.exp(-2 * log_std) / precision, precision**-0.5))
        proposals.append((0.0 * mean, np.ones_like(mean)))
        log_w = []
        for m, s in proposals:
            z = m + s * rng.standard_normal((500, *m.shape))
            of_z = [
                -0.5 * np.sum(((z - a) / b) ** 2 + LOG_2_PI, -1) - np.sum(np.log(b), -1)
                for a, b in proposals
            ]
            prior = -0.5 * np.sum(z**2 + LOG_2_PI, axis=-1)
            log_r = logsumexp(of_z, axis=0) - np.log(len(proposals))
            log_w.append(normal(x, *self.decode(z)).sum(axis=-1) + prior - log_r)
        log_w = np.concatenate(log_w)
        log_px = logsumexp(log_w, axis=0) - np.log(len(log_w))
        return log_px, np.var(np.exp(log_w - log_px), axis=0) / len(log_w)


def normal(x, mean, log_std):
    return -0.5 * (((x - mean) * np.exp(-log_std)) ** 2 + LOG_2_PI) - log_std


def oracle(case):
    """What the report should say of a run, name -> (value, standard error)."""
    networks = Networks(case.folder)
    beta, rng = case.beta, np.random.default_rng(1)
    x = case.draw(40_000)
    mean, log_std = networks.encode(x)
    z = mean + np.exp(log_std) * rng.standard_normal(mean.shape)
    decoded, decoded_log_std = networks.decode(z)
    codes = -normal(x, decoded, decoded_log_std)
    kl = np.sum(0.5 * (mean**2 + np.exp(2 * log_std) - 1) - log_std, axis=1)
    rows = {
        "elbo_held_out": -codes.sum(axis=1) - kl,
        "rate": kl,
        "log_px_z": -codes.sum(axis=1),
        "cost_held_out": beta * kl + codes.sum(axis=1),
        "distortion": np.sum((x - decoded) ** 2, axis=1),
    }
    log_px, variance = networks.log_px_of(x[:200])
    if np.mean(variance) < 0.01:
        rows["log_px"] = log_px + 0.5 * variance
        rows["gap_encoder"] = rows["log_px"] - rows["elbo_held_out"][:200]
    # Mutual information with the entropy of q(z) from 1500 z under the mixture of 10 000 q(z|x).
    precision = np.exp(-2 * log_std[:10_000])
    m = mean[:10_000]
    terms = z[-1500:] @ (precision * m).T - 0.5 * z[-1500:] ** 2 @ precision.T
    terms -= np.sum(0.5 * (precision * m**2 + LOG_2_PI) + log_std[:10_000], axis=1)
    log_q = logsumexp(terms, axis=1) - np.log(10_000)
    prior = -0.5 * np.sum(z[-1500:] ** 2 + LOG_2_PI, axis=1)
    own = normal(z, mean, log_std).sum(axis=1)
    jensen = np.var(np.exp(terms - log_q[:, None]), axis=1) / 10_000
    log_q = log_q + 0.5 * jensen
    known_q = np.mean(jensen) < 0.005
    if known_q:
        rows["mutual_information"] = own[-1500:] - log_q
        rows["aggregate_kl"] = log_q - prior
    if case.kind != "exponential":
        density = multivariate_normal(case.mean, case.covariance).logpdf(x)
        rows["optimum"] = density
        rows["gap"] = density - rows["elbo_held_out"]
        if "log_px" in rows:
            rows["gap_model"] = density[:200] - rows["log_px"]
        if known_q:
            x = x - case.mean
            joint = np.cov(np.hstack([x, z]), rowvar=False)
            of_x, of_z = joint[: case.dim, : case.dim], joint[case.dim :, case.dim :]
            decoder = np.linalg.solve(of_z, joint[case.dim :, : case.dim])
            left = np.diag(of_x - joint[: case.dim, case.dim :] @ decoder)
            errors = x - (z - z.mean(axis=0)) @ decoder
            linear = 0.5 * (LOG_2_PI + np.log(left) + errors**2 / left)
            shorter = np.where(codes.mean(axis=0) < linear.mean(axis=0), codes, linear)
            rows["decoder_mismatch"] = (codes - shorter).sum(axis=1)
            codes_and_density = shorter.sum(axis=1) + density
    found = {name: (v.mean(), v.std() / len(v) ** 0.5) for name, v in rows.items()}
    if "decoder_mismatch" in rows:
        of_codes = codes_and_density.mean(), codes_and_density.std() / len(x) ** 0.5
        information = found["mutual_information"]
        found["conditional_total_correlation"] = (
            of_codes[0] + information[0],
            np.hypot(of_codes[1], information[1]),
        )
    return found


@pytest.mark.slow
def test_every_mean_of_thirty_varied_reports_is_right_within_its_error(tmp_path, monkeypatch):
    monkeypatch.setattr(run_figures, "draw_run", lambda *_: None)
    scores = {}
    for k in range(RUNS):
        folder = tmp_path / str(k)
        folder.mkdir()
        case = Case(k, folder)
        beta_vae_main.main(case.argv)
        report = read_json(case.folder / "report.json")
        doubted = report["log_px_missed"] > 0.005 or report["log_px_doubtful_rows"] > 0.002
        for name, (value, error) in oracle(case).items():
            if report[name] is None or (doubted and name in DOUBTED):
                continue
            difference = report[name] - value
            error = np.hypot(report[f"{name}_se"], error)
            if error > 5 * ROUNDING:
                scores.setdefault(name, []).append(difference / error)
            else:  # such as the rate of a network whose units are off
                assert abs(difference) < 25 * ROUNDING, name
    for name, values in scores.items():
        assert np.abs(values).max() < 4.5, name
        assert 0.7 < np.std(values) < 1.3, name
