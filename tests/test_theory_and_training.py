"""Trained networks beside the exact theory, on the default data with the default settings."""

import pytest
from helpers import read_json

import beta_sweep
import vae_main
from analysis import information, known


def sweep(folder, *flags):
    beta_sweep.main([*flags, "--output_dir", str(folder)])
    return [read_json(path) for path in sorted(folder.glob("beta_*/report.json"))]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_run_of_the_vae_reaches_the_optimum(tmp_path, seed):
    vae_main.main(["--seed", str(seed), "--output_dir", str(tmp_path)])
    report = read_json(tmp_path / "report.json")
    assert report["gap"] <= 0.005
    assert report["gap_se"] < 0.001


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("flags", [[], ["--decoder_std", "0.5"]])
def test_sweeps_reach_the_theory(tmp_path, flags, seed):
    """The cost is near the best linear VAE's, and the rate is not below the bound."""
    betas = ["0.25", "0.5", "1", "2", "4", "8", "20", "32"]
    covariance = known.known_gaussian().covariance
    for report in sweep(tmp_path, "--beta", *betas, "--seed", str(seed), *flags):
        distortion = report["distortion"] + 4.0 * report["distortion_se"]
        bound = information.rate_distortion(covariance, distortion)
        assert report["rate"] + 4.0 * report["rate_se"] >= bound
        if report["beta"] >= 1 or flags:
            assert abs(report["cost_gap"]) < 0.03
            assert report["active_units"] == report["active_units_exact"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "flags"),
    [("pair", ["--n_dim", "1"]), ("star_10", ["--n_dim", "9", "--n_epoch", "40"])],
)
def test_networks_find_the_relaxed_common_information_of_a_pair_and_of_a_star(
    tmp_path, data, flags
):
    path = known.DATA_FOLDER / f"{data}.dat"
    argv = ["--covariance_path", str(path), "--beta", "1.02", "1.25", *flags]
    for report in sweep(tmp_path, *argv):
        assert abs(report["cost_gap"]) < 0.01
        assert report["mutual_information"] == pytest.approx(report["rate_exact"], abs=0.03)
        left, exact = (report[f"conditional_total_correlation{end}"] for end in ("", "_exact"))
        assert left == pytest.approx(exact, abs=0.03)
