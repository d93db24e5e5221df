"""The rules that hold the house together: who imports whom, how large a file is, what differs."""

import ast
import re
import subprocess
import sys

import pytest
from helpers import ROOT

ROOMS = ("training", "analysis", "images")
GUIDELINE = {
    "vae_main", "vae_layers", "vae_models", "data_processing", "vae_decoder_sample_generation",
    "beta_vae_main", "beta_vae_after_training",
}  # fmt: skip
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
    for folder in (".", *ROOMS)
    for path in sorted((ROOT / folder).glob("*.py"))
    if path.name != "__init__.py"
}
MODULES = {name: ast.parse(source) for name, source in SOURCES.items()}
SCRIPTS = {name for name, source in SOURCES.items() if '__name__ == "__main__"' in source}
NETWORKS = {"tensorflow", "keras", "vae_layers", "vae_models"}
THEORY = ("information", "mixture", "linear_vae", "normality", "comparison", "figure_style")
MOST_LINES = 320


def imported(tree):
    """The packages and modules that a module imports anywhere in it; of the project, in full."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            names |= inner or {node.module}
    return {name if name in MODULES else name.partition(".")[0] for name in names}


IMPORTS = {name: imported(tree) for name, tree in MODULES.items()}


def needed(name):
    """All that a module imports, directly or through other modules of the project."""
    found = set()
    waiting = [name]
    while waiting:
        new = IMPORTS[waiting.pop()] - found
        found |= new
        waiting += new & MODULES.keys()
    return found


def floor(name):
    """The height of a module in the house: what it imports is as high or lower.

    Of analysis/, what describes distributions without any network lies below the data, which are
    drawn from them.
    """
    room, _, module = name.rpartition(".")
    if room == "training" or name == "quiet_tensorflow":
        return 0
    if room == "analysis":
        return 4 if needed(name) & (NETWORKS | {"data_processing"}) else 1
    if room == "images":
        return 5
    if name in SCRIPTS:
        return 6
    return {"data_processing": 2, "vae_layers": 2, "vae_models": 3}[module]


def test_the_top_level_holds_the_files_of_the_guideline_and_scripts():
    top = {name for name in MODULES if "." not in name}
    assert GUIDELINE <= top
    assert top - GUIDELINE - SCRIPTS == {"quiet_tensorflow"}
    assert not {name for name in SCRIPTS if "." in name}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_downwards_and_never_itself(name):
    above = {other for other in IMPORTS[name] & MODULES.keys() if floor(other) > floor(name)}
    assert not above
    assert name not in needed(name)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_read_in_one_go(name):
    assert len(SOURCES[name].splitlines()) <= MOST_LINES


def test_nothing_imports_a_script_but_the_sweep_its_main():
    for name, names in IMPORTS.items():
        allowed = {"beta_vae_main"} if name == "beta_sweep" else set()
        assert names & SCRIPTS <= allowed, name


def test_only_the_modules_of_pictures_import_matplotlib():
    found = {name for name, names in IMPORTS.items() if "matplotlib" in names}
    assert found
    assert not [name for name in found if not re.search(r"\.(\w*figures|figure_style)$", name)]


@pytest.mark.parametrize("name", THEORY)
def test_theory_comparison_and_style_know_no_network(name):
    assert not needed(f"analysis.{name}") & NETWORKS


def test_the_training_loop_and_the_layers_know_neither_model_nor_cost():
    for name in ("training.loop", "training.run", "vae_layers"):
        assert "vae_models" not in needed(name)


def test_run_time_packages_are_the_required_ones():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = {re.match(r"[\w-]+", line)[0] for line in lines} | {"keras"}  # of TensorFlow
    outside = set().union(*IMPORTS.values()) - set(sys.stdlib_module_names) - MODULES.keys()
    assert outside <= required


def test_no_private_name_of_another_package_is_used():
    of_named_tuples = {"_replace", "_asdict", "_fields"}  # public, says the standard library
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert not [a.name for a in node.names if a.name.startswith("_")], name
            private = isinstance(node, ast.Attribute) and node.attr.startswith("_")
            if private and not node.attr.endswith("__") and node.attr not in of_named_tuples:
                assert isinstance(node.value, ast.Name) and node.value.id == "self", (
                    f"{name}, line {node.lineno}: {ast.unparse(node)}"
                )


BETA_VAE_AND_VAE = [  # what beta_vae_main.py has, and what vae_main.py has in its place
    ("a beta-VAE", "a variational auto-encoder"),
    ("python beta_vae_main.py", "python vae_main.py"),
    ("the\n'beta-vae-main' of", "the 'vae-main'\nof"),
    ("the beta-VAE (2022)", "the VAE (2021)"),
    ("from functools import partial\n\n", ""),
    (
        '    model("--beta", type=non_negative, default=4.0, help="weight of the KL divergence")\n',
        "",
    ),
    ('model="beta_vae"', 'model="vae"'),
    ("x, epsilon, beta):", "x, epsilon):"),
    ("(kl, log_px_z, beta)", "(kl, log_px_z)"),
    ("# Eq. (1) of the beta-VAE guideline", "# -ELBO, Eq. (1) of the guideline"),
    ("    step = partial(training_step, beta=tf.constant(settings.beta))\n", ""),
    ("compile_steps(step,", "compile_steps(training_step,"),
]


def test_the_two_mains_differ_in_beta_alone():
    text = SOURCES["beta_vae_main"]
    for of_beta_vae, of_vae in BETA_VAE_AND_VAE:
        assert text.count(of_beta_vae) == 1, of_beta_vae
        text = text.replace(of_beta_vae, of_vae)
    assert text == SOURCES["vae_main"]


def test_importing_every_module_does_nothing_visible(tmp_path, environment):
    def listing(folder):
        return {p for p in folder.rglob("*") if not {"__pycache__", ".git"} & set(p.parts)}

    before = listing(ROOT)
    imports = "; ".join(f"import {name}" for name in ["quiet_tensorflow", *sorted(MODULES)])
    result = subprocess.run(
        [sys.executable, "-B", "-c", imports],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert listing(tmp_path) == set()
    assert listing(ROOT) == before
