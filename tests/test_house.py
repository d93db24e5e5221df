"""The rules of the repository: which module may import which, and how the mains differ."""

import ast
import difflib
import re
import subprocess
import sys

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
NO_NETWORK = (
    "analysis.information analysis.mixture analysis.linear_vae analysis.normality "
    "analysis.comparison analysis.figure_style analysis.sample_figures images.figures"
).split()
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

    Modules of analysis/ that describe distributions and need no network lie below the data, which
    are drawn from them.
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


def test_a_module_imports_downwards_and_never_itself():
    for name in MODULES:
        above = {other for other in IMPORTS[name] & MODULES.keys() if floor(other) > floor(name)}
        assert not above, name
        assert name not in needed(name), name


def test_a_module_can_be_read_in_one_go():
    for name, source in SOURCES.items():
        assert len(source.splitlines()) <= MOST_LINES, name


def test_nothing_imports_a_script_but_the_sweep_its_main():
    for name, names in IMPORTS.items():
        allowed = {"beta_vae_main"} if name == "beta_sweep" else set()
        assert names & SCRIPTS <= allowed, name


def test_only_the_modules_of_pictures_import_matplotlib():
    found = {name for name, names in IMPORTS.items() if "matplotlib" in names}
    assert found
    assert not [name for name in found if not re.search(r"\.(\w*figures|figure_style)$", name)]


def test_theory_comparison_and_pictures_of_samples_know_no_network():
    for name in NO_NETWORK:
        assert not needed(name) & NETWORKS, name


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


def test_the_two_mains_differ_in_few_lines():
    mains = [SOURCES[name].splitlines() for name in ("vae_main", "beta_vae_main")]
    changed = [line for line in difflib.ndiff(*mains) if line[0] in "+-"]
    assert len(changed) <= 18, "\n".join(changed)


def test_importing_every_module_does_nothing_visible(tmp_path, environment):
    def listing(folder):
        return {p for p in folder.rglob("*") if not {"__pycache__", ".git"} & set(p.parts)}

    before = listing(ROOT)
    names = ", ".join(["quiet_tensorflow", *sorted(MODULES)])
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy(); "
        f"import {names}; "
        "assert matplotlib.rcParams.copy() == before; "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    result = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert listing(tmp_path) == set()
    assert listing(ROOT) == before
