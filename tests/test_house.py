"""The rules that hold the house together: who imports whom, what differs where, and portability."""

import ast
import difflib
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
WITHOUT_MODELS = ("comparison", "linear_vae", "information", "sample_figures", "figure_style")


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
    assert {name.partition(".")[2] for name in found} <= {
        "figures",
        "figure_style",
        "run_figures",
        "sample_figures",
        "sweep_figures",
    }


@pytest.mark.parametrize("name", WITHOUT_MODELS)
def test_theory_comparison_and_pictures_know_no_model(name):
    assert not needed(f"analysis.{name}") & {"tensorflow", "keras"}


def test_the_training_loop_and_the_layers_know_neither_model_nor_cost():
    for name in ("training.loop", "vae_layers"):
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


POSIX_ONLY = {  # of modules that exist everywhere
    "os": (
        "fork forkpty pread pwrite preadv posix_fadvise posix_fallocate sched_getaffinity "
        "sched_setaffinity getuid geteuid getgid getloadavg uname mkfifo wait waitid killpg setsid "
        "chown sysconf O_DIRECT O_NONBLOCK"
    ).split(),
    "signal": (
        "pthread_sigmask pthread_kill sigwait sigpending alarm setitimer siginterrupt SIGKILL "
        "SIGSTOP SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGCHLD SIGALRM SIGPIPE"
    ).split(),
    "time": ["tzset", "clock_gettime"],
}
POSIX_MODULES = set("fcntl resource termios tty pty pwd grp posix syslog readline".split())


def test_no_name_that_only_posix_has_is_used():
    for name, tree in MODULES.items():
        assert not IMPORTS[name] & POSIX_MODULES, name
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                missing = POSIX_ONLY.get(node.value.id, [])
                assert node.attr not in missing, f"{name}, line {node.lineno}: {node.attr}"
            if isinstance(node, ast.ImportFrom) and node.module in POSIX_ONLY:
                names = {alias.name for alias in node.names}
                assert not names & set(POSIX_ONLY[node.module]), name


def lines_of(module, function):
    """The lines of a function without its comments."""
    (found,) = (n for n in MODULES[module].body if getattr(n, "name", None) == function)
    return ast.unparse(found).splitlines()


@pytest.mark.parametrize(
    ("function", "vae_lines", "beta_vae_lines"),
    [
        (
            "training_step",
            ["def training_step(model, optimizer, x, epsilon):"]
            + ["cost = cost_function(kl, log_px_z)"],
            ["def training_step(model, optimizer, x, epsilon, beta):"]
            + ["cost = cost_function(kl, log_px_z, beta)"],
        ),
        (
            "parse_arguments",
            ["command_line.add_run_arguments(parser, model='vae')"],
            ["model('--beta', type=non_negative, default=4.0, help='weight of the KL divergence')"]
            + ["command_line.add_run_arguments(parser, model='beta_vae')"],
        ),
        (
            "main",
            ["iterate = loop.compile_steps(training_step, model, optimizer)"]
            + ["report = gaussian_report.finish(run, data, beta=1.0)"],
            ["step = partial(training_step, beta=tf.constant(args.beta))"]
            + ["iterate = loop.compile_steps(step, model, optimizer)"]
            + ["report = gaussian_report.finish(run, data, beta=args.beta)"],
        ),
    ],
)
def test_the_two_mains_differ_in_beta_alone(function, vae_lines, beta_vae_lines):
    sources = [lines_of(main, function) for main in ("vae_main", "beta_vae_main")]
    differing = list(difflib.ndiff(*sources))
    assert [line[2:].strip() for line in differing if line[0] == "-"] == vae_lines
    assert [line[2:].strip() for line in differing if line[0] == "+"] == beta_vae_lines


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
