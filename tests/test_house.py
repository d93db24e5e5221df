"""The rules that hold the modules together: who imports whom, and importing does nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = {path.stem: ast.parse(path.read_text()) for path in sorted(ROOT.glob("*.py"))}
LAYERS = [
    {"quiet_tensorflow", "table_files", "run_files", "command_line", "progress", "tensorboard_log"},
    {"random_streams", "large_data"},
    {"vae_layers", "gaussian_theory", "data_processing", "image_data", "comparison"},
    {"vae_models", "image_models", "figure_style", "figures", "image_figures", "sweep_figures"},
    {"distribution", "training", "evaluation"},
    {"gaussian_report", "beta_sweep", "image_report"},
]
FIGURES = {"figure_style", "figures", "image_figures", "sweep_figures"}


def imported(tree):
    """The top-level packages and modules that a module imports anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module.partition(".")[0])
    return names


IMPORTS = {name: imported(tree) for name, tree in MODULES.items()}


def needed(name):
    """The modules of the project that a module imports, directly or through others."""
    found, waiting = set(), [name]
    while waiting:
        new = (IMPORTS[waiting.pop()] & MODULES.keys()) - found
        found |= new
        waiting += new
    return found


def scripts():
    """The modules that can be run: they end in `if __name__ == "__main__":`."""
    return {name for name in MODULES if '"__main__"' in (ROOT / f"{name}.py").read_text()}


def test_the_names_of_the_guideline_are_kept():
    assert MODULES.keys() >= {
        "vae_main", "vae_layers", "vae_models", "data_processing", "vae_decoder_sample_generation",
        "beta_vae_main", "beta_vae_after_training",
    }  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_no_module_needs_itself(name):
    assert name not in needed(name)


def test_every_module_has_its_layer():
    assert set().union(*LAYERS) | scripts() == MODULES.keys()


@pytest.mark.parametrize("height", range(len(LAYERS)))
def test_imports_run_one_way(height):
    above = set().union(*LAYERS[height + 1 :]) | scripts()
    for name in LAYERS[height]:
        assert not needed(name) & above, name


def test_nothing_imports_a_script():
    assert scripts() >= {"vae_main", "beta_vae_main", "beta_vae_after_training"}
    for name, names in IMPORTS.items():
        assert not names & scripts(), name


def test_only_the_modules_of_pictures_import_matplotlib():
    assert {name for name, names in IMPORTS.items() if "matplotlib" in names} <= FIGURES


def test_pictures_and_comparisons_know_no_model():
    for name in FIGURES | {"comparison", "gaussian_theory", "table_files", "run_files"}:
        for names in (IMPORTS[name], *(IMPORTS[other] for other in needed(name))):
            assert not names & {"tensorflow", "keras"}, name


def test_the_training_loop_knows_no_model_and_the_layers_no_cost():
    assert not needed("training") & {"vae_models", "vae_layers", "evaluation", "gaussian_theory"}
    assert needed("vae_layers") == set()


def test_the_theory_needs_numpy_and_scipy_alone():
    outside = IMPORTS["gaussian_theory"] - set(sys.stdlib_module_names)
    assert outside == {"numpy", "scipy"}


def test_run_time_packages_are_the_required_ones():
    required = {"tensorflow", "keras", "numpy", "scipy", "matplotlib", "tqdm"}
    outside = set().union(*IMPORTS.values()) - set(sys.stdlib_module_names) - MODULES.keys()
    assert outside <= required


def test_importing_every_module_does_nothing_visible(tmp_path, environment):
    def listing(folder):
        return {p for p in folder.rglob("*") if not {"__pycache__", ".git"} & set(p.parts)}

    before = listing(ROOT)
    names = ["quiet_tensorflow", *sorted(MODULES)]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    code += "".join(f"import {name}\n" for name in names)
    command = [sys.executable, "-B", "-c", code]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert listing(tmp_path) == set()
    assert listing(ROOT) == before
