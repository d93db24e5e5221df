"""Reports of varied runs against a float64 NumPy computation that reads only their weights."""

import numpy as np
import pytest
from helpers import numpy_network, read_json
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import beta_vae_main
from analysis import run_figures

RUNS = 30
ROUNDING = 2e-5  # nats of float32 networks
LOG_2_PI = np.log(2 * np.pi)
DOUBTED = ("log_px", "gap_model", "gap_encoder")  # not judged where the screen warns of them


class Case:
    """Run number k: what its data are and its flags, all drawn at random."""

    def __init__(self, k, folder):
        rng = np.random.default_rng((7, k))
        self.rng = rng
        self.folder = folder / "run"
        self.dim = int(rng.choice([1, 2, 3, 5, 8, 13, 30]))
        n_dim = int(rng.choice([1, 2, 3, 5, 12]))
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
            "n_dim": n_dim,
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
        self.activation = flags["activation"]
        self.min_log_std = flags.get("min_log_std")
        self.argv = [str(text) for name, v in flags.items() for text in (f"--{name}", v)]
        if k in (9, 21):  # drawn and far from zero, as others that are not standardized
            self.argv.append("--standardize")

    def draw(self, n_rows):
        x = self.rng.multivariate_normal(self.mean, self.covariance, n_rows)
        if self.kind == "exponential":
            return self.mean + np.exp(0.3 * (x - self.mean) / np.sqrt(np.diag(self.covariance)))
        return x

    def encode(self, x):
        return numpy_network(self.folder, "Encoder", x, self.activation)

    def decode(self, z):
        return numpy_network(self.folder, "Decoder", z, self.activation, self.min_log_std)


def log_density(x, mean, log_std):
    """That of each coordinate of x, Gaussian."""
    return -0.5 * (((x - mean) * np.exp(-log_std)) ** 2 + LOG_2_PI) - log_std


def log_px_of(case, x):
    """log p(x) of each row and its variance, from draws of several widths about q and z = 0."""
    rng = np.random.default_rng(0)
    mean, log_std = case.encode(x)
    power = min(case.beta, 100.0)
    precision = np.maximum(power * np.exp(-2 * log_std) + 1 - power, 1.0)
    tempered_mean = power * mean * np.exp(-2 * log_std) / precision
    proposals = [
        (mean, log_std),
        (mean, log_std + np.log(1.5)),
        (mean, log_std + np.log(3.0)),
        (tempered_mean, -0.5 * np.log(precision)),
        (np.zeros_like(mean), np.zeros_like(mean)),
    ]
    log_w = []
    for proposal_mean, proposal_log_std in proposals:
        epsilon = rng.standard_normal((500, *mean.shape))
        z = proposal_mean + np.exp(proposal_log_std) * epsilon
        of_proposals = [log_density(z, *other).sum(axis=-1) for other in proposals]
        log_r = logsumexp(of_proposals, axis=0) - np.log(len(proposals))
        log_joint = log_density(x, *case.decode(z)).sum(axis=-1) + log_density(z, 0, 0).sum(axis=-1)
        log_w.append(log_joint - log_r)
    log_w = np.concatenate(log_w)
    log_px = logsumexp(log_w, axis=0) - np.log(len(log_w))
    return log_px, np.var(np.exp(log_w - log_px), axis=0) / len(log_w)


def mean_elbo_of(case, x, n_draws=100):
    """The ELBO of each row, the mean over many draws of z: its own error is then small."""
    rng = np.random.default_rng(2)
    mean, log_std = case.encode(x)
    kl = np.sum(0.5 * (mean**2 + np.exp(2 * log_std) - 1) - log_std, axis=1)
    z = mean + np.exp(log_std) * rng.standard_normal((n_draws, *mean.shape))
    return log_density(x, *case.decode(z)).sum(axis=-1).mean(axis=0) - kl


def log_aggregate(z, mean, log_std):
    """log of the mixture of all q(z|x) at each z, and the variance of its estimate."""
    precision = np.exp(-2 * log_std)
    terms = z @ (precision * mean).T - 0.5 * z**2 @ precision.T
    terms -= np.sum(0.5 * (precision * mean**2 + LOG_2_PI) + log_std, axis=1)
    log_q = logsumexp(terms, axis=1) - np.log(len(mean))
    return log_q, np.var(np.exp(terms - log_q[:, np.newaxis]), axis=1) / len(mean)


def oracle(case):
    """What the report should say of a run, name -> (value, standard error)."""
    beta, rng = case.beta, np.random.default_rng(1)
    x = case.draw(40_000)
    mean, log_std = case.encode(x)
    z = mean + np.exp(log_std) * rng.standard_normal(mean.shape)
    decoded, decoded_log_std = case.decode(z)
    codes = -log_density(x, decoded, decoded_log_std)
    kl = np.sum(0.5 * (mean**2 + np.exp(2 * log_std) - 1) - log_std, axis=1)
    rows = {
        "elbo_held_out": -codes.sum(axis=1) - kl,
        "rate": kl,
        "log_px_z": -codes.sum(axis=1),
        "cost_held_out": beta * kl + codes.sum(axis=1),
        "distortion": np.sum((x - decoded) ** 2, axis=1),
    }
    log_px, variance = log_px_of(case, x[:200])
    if np.mean(variance) < 0.01:
        rows["log_px"] = log_px + 0.5 * variance
        rows["gap_encoder"] = rows["log_px"] - mean_elbo_of(case, x[:200])
    log_q, variance = log_aggregate(z[-1500:], mean[:10_000], log_std[:10_000])
    log_q = log_q + 0.5 * variance
    known_q = np.mean(variance) < 0.005
    if known_q:
        own = log_density(z, mean, log_std).sum(axis=1)[-1500:]
        rows["mutual_information"] = own - log_q
        rows["aggregate_kl"] = log_q - log_density(z[-1500:], 0, 0).sum(axis=1)
    if case.kind != "exponential":
        density = multivariate_normal(case.mean, case.covariance).logpdf(x)
        rows["optimum"] = density
        rows["gap"] = density - rows["elbo_held_out"]
        if "log_px" in rows:
            rows["gap_model"] = density[:200] - rows["log_px"]
        if known_q:
            z = z - z.mean(axis=0)
            errors = x - case.mean - z @ np.linalg.lstsq(z, x - case.mean)[0]
            linear = -log_density(errors, 0, np.log(errors.std(axis=0)))
            shorter = np.where(codes.mean(axis=0) < linear.mean(axis=0), codes, linear)
            rows["decoder_mismatch"] = (codes - shorter).sum(axis=1)
            rows["conditional_total_correlation"] = shorter.sum(axis=1) + density
    found = {name: (v.mean(), v.std() / len(v) ** 0.5) for name, v in rows.items()}
    if "conditional_total_correlation" in found:  # lacks the information, from other rows
        value, error = found["conditional_total_correlation"]
        information, of_information = found["mutual_information"]
        found["conditional_total_correlation"] = (
            value + information,
            np.hypot(error, of_information),
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
