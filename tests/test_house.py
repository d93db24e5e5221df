"""The rules that hold the house together: who imports whom, and importing does nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("training", "analysis", "images")
GUIDELINE = {
    "vae_main", "vae_layers", "vae_models", "data_processing", "vae_decoder_sample_generation",
    "beta_vae_main", "beta_vae_after_training",
}  # fmt: skip
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text("utf-8"))
    for folder in (".", *ROOMS)
    for path in sorted((ROOT / folder).glob("*.py"))
    if path.name != "__init__.py"
}
SCRIPTS = {
    name for name, tree in MODULES.items() if '"__main__"' in ast.unparse(tree).replace("'", '"')
}
FLOORS = [  # from the ground up: what a floor imports lies on it or below it
    {name for name in MODULES if name.startswith("training.")} | {"quiet_tensorflow"},
    {"data_processing", "vae_layers"},
    {"vae_models"},
    {name for name in MODULES if name.startswith("analysis.")},
    {name for name in MODULES if name.startswith("images.")},
    SCRIPTS,
]
WITHOUT_MODELS = ("comparison", "linear_vae", "information", "figures", "figure_style")


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
    found, waiting = set(), [name]
    while waiting:
        new = IMPORTS[waiting.pop()] - found
        found |= new
        waiting += new & MODULES.keys()
    return found


def test_the_top_level_holds_the_files_of_the_guideline_and_scripts():
    top = {name for name in MODULES if "." not in name}
    assert GUIDELINE <= top
    assert top - GUIDELINE - SCRIPTS == {"quiet_tensorflow"}


def test_every_module_stands_on_one_floor():
    assert sorted(name for floor in FLOORS for name in floor) == sorted(MODULES)


@pytest.mark.parametrize("height", range(len(FLOORS)))
def test_imports_run_downwards(height):
    above = set().union(*FLOORS[height + 1 :])
    for name in FLOORS[height]:
        assert not needed(name) & above, name
        assert name not in needed(name)


def test_nothing_imports_a_script_but_the_sweep_its_main():
    for name, names in IMPORTS.items():
        allowed = {"beta_vae_main"} if name == "beta_sweep" else set()
        assert names & SCRIPTS <= allowed, name


def test_only_the_modules_of_pictures_import_matplotlib():
    found = {name for name, names in IMPORTS.items() if "matplotlib" in names}
    assert {name.partition(".")[2] for name in found} <= {"figures", "figure_style"}


@pytest.mark.parametrize("name", WITHOUT_MODELS)
def test_theory_comparison_and_pictures_know_no_model(name):
    assert not needed(f"analysis.{name}") & {"tensorflow", "keras"}


def test_the_training_loop_and_the_layers_know_neither_model_nor_cost():
    for name in ("training.loop", "vae_layers"):
        assert "vae_models" not in needed(name)


def test_run_time_packages_are_the_required_ones():
    required = {"tensorflow", "keras", "numpy", "scipy", "matplotlib", "tqdm", "filelock"}
    outside = set().union(*IMPORTS.values()) - set(sys.stdlib_module_names) - MODULES.keys()
    assert outside <= required


def test_no_private_name_of_another_package_is_used():
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            private = isinstance(node, ast.Attribute) and node.attr.startswith("_")
            if private and not node.attr.endswith("__"):
                assert isinstance(node.value, ast.Name) and node.value.id == "self", (
                    f"{name}, line {node.lineno}: {ast.unparse(node)}"
                )


def test_importing_every_module_does_nothing_visible(tmp_path, environment):
    def listing(folder):
        return {p for p in folder.rglob("*") if not {"__pycache__", ".git"} & set(p.parts)}

    before = listing(ROOT)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    code += "".join(f"import {name}\n" for name in ["quiet_tensorflow", *sorted(MODULES)])
    command = [sys.executable, "-B", "-c", code]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert listing(tmp_path) == set()
    assert listing(ROOT) == before
