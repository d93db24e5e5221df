"""The documents keep step with the code: names, lines, links, commands, and the program."""

import importlib
import re
import shlex
import shutil

import numpy as np
import pytest
import tensorflow as tf
from helpers import ROOT

import vae_models
from analysis import run_figures
from training import saved_model

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = re.compile(r"`([\w/]+\.py): ([\w.]+)`")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def name_of(path):
    return str(path.relative_to(ROOT))


def text_only(text):
    """The text without its fenced blocks."""
    return BLOCK.sub("", text)


def defines(file, name):
    """Whether the file has this function, class, method or constant."""
    last = name.rpartition(".")[2]
    return re.search(rf"^\s*(def|class) {last}\b|^{last} = ", read(file), re.MULTILINE)


def shown_lines():
    """Each line of the guide's blocks of Python, with the references of the paragraph before it."""
    text, found = read("docs/guide.md"), []
    for block in BLOCK.finditer(text):
        if block[1] == "python":
            paragraph = text[: block.start()].rstrip().rpartition("\n\n")[2]
            found += [(line, REFERENCE.findall(paragraph)) for line in block[2].splitlines()]
    return found


def commands(path):
    """The commands `python SCRIPT.py FLAGS` of a document's indented blocks and of its text."""
    text = path.read_text(encoding="utf-8")
    code = re.findall(r"^    (.*)$|`([^`\n]+)`", text_only(text), re.MULTILINE)
    lines = "\n".join(block or inline for block, inline in code)
    found = re.findall(r"(?:^|[ /])python ([\w/]+\.py.*)", lines, re.MULTILINE)
    split = [shlex.split(command.partition("&&")[0], comments=True) for command in found]
    return [command for command in split if "laplace" not in command]  # see test_contributing.py


COMMANDS = {" ".join(command): command for path in DOCUMENTS for command in commands(path)}


def test_every_reference_names_something_that_its_file_defines():
    pairs = {pair for path in DOCUMENTS for pair in REFERENCE.findall(path.read_text())}
    assert len(pairs) > 40
    assert not [pair for pair in pairs if not (ROOT / pair[0]).exists() or not defines(*pair)]


def test_every_line_of_code_in_the_guide_stands_in_the_file_named_before_it():
    def bare(code):
        return re.sub(r"\s", "", code)

    lines = shown_lines()
    assert len(lines) > 20
    for line, references in lines:
        assert any(bare(line) in bare(read(file)) for file, _ in references), line


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_and_named_files_of_a_document_exist(path):
    text = text_only(path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text):
        assert "://" in target or (path.parent / target).exists(), target
        assert not anchor or target or anchor in anchors, anchor
    for named in re.findall(r"`([\w./-]+\.(?:py|md|args))`", text):
        places = [path.parent, *(ROOT / folder for folder in ("", "presets", "data", "tests"))]
        assert any((place / named).exists() for place in places), named


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_of_the_documents_is_accepted(command, monkeypatch):
    script, *flags = command
    assert (ROOT / script).exists()
    monkeypatch.chdir(ROOT)  # where @file is looked for
    flags = ["0" if flag == "N" else flag for flag in flags]
    if "/" not in script:
        importlib.import_module(script.removesuffix(".py")).parse_arguments(flags)
    else:
        for flag in flags:
            assert not flag.startswith("--") or f'"{flag}"' in read(script), flag


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_flag_in_a_document_is_one_of_a_script(path):
    scripts = [
        path for folder in (".", "benchmarks", "training") for path in (ROOT / folder).glob("*.py")
    ]
    known = set(re.findall(r'"(--\w+)"', "\n".join(map(read, map(name_of, scripts)))))
    named = re.findall(r"(?<![\w`-])`(--[\w-]+)", text_only(path.read_text(encoding="utf-8")))
    assert {flag.replace("--no-", "--") for flag in named} <= known | {"--help"}


def test_the_commands_of_the_readme_are_found():
    assert {command[0] for command in commands(ROOT / "README.md")} >= SHORTENED.keys()


def program(name, part):
    """The block of Python in a document that holds this text."""
    blocks = [block[2] for block in BLOCK.finditer(read(name)) if block[1] == "python"]
    (found,) = (block for block in blocks if part in block)
    return found


def test_the_numpy_program_of_the_documents_decodes_as_the_model_does(vae_run):
    names = {}
    exec(program("docs/files.md", "loadtxt").replace("results/vae", str(vae_run)), names)  # noqa: S102
    model, _ = saved_model.load_model(vae_run, vae_models.make_model)
    mean, log_std = model.decode(tf.constant(names["z"], tf.float32))
    mean = model.in_data_units(mean.numpy())
    log_std = log_std + np.log(model.standardization.std)
    np.testing.assert_allclose(names["mean"], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(names["log_std"], log_std, rtol=1e-4, atol=1e-5)
    noise = (names["x"] - mean) / np.exp(log_std)
    assert noise.shape == (1000, model.data_dim)
    assert noise.std() == pytest.approx(1, abs=0.1)


def test_the_program_of_the_readme_trains_and_generates(monkeypatch, tmp_path, uncompiled):
    monkeypatch.chdir(ROOT)  # where data/ is looked for
    monkeypatch.setattr(run_figures, "draw_run", lambda *_: None)
    small = f'"--n_epoch", "1", "--data_size", "500", "--output_dir", "{tmp_path / "run"}"'
    code = program("README.md", "vae_main.main")
    for old, new in [
        ('"--n_epoch", "10", "--output_dir", "results/from_python"', small),
        ("results/from_python", str(tmp_path / "run")),
    ]:
        assert old in code
        code = code.replace(old, new)
    names = {}
    exec(code, names)  # noqa: S102
    assert names["z_mean"].shape == (len(names["x"]), 2)
    assert names["new_x"].shape == (1000, 10)


SHORTENED = {  # flags that make the commands of the README short, by script
    "vae_main.py": "--n_epoch 1 --data_size 400",
    "beta_vae_main.py": "--n_epoch 1 --data_size 400",
    "beta_sweep.py": "--n_epoch 1 --data_size 400",
    "vae_decoder_sample_generation.py": "--n_samples 50",
    "beta_vae_after_training.py": "--n_samples 50",
    "mnist_vae_main.py": "--n_epoch 1 --n_width 20 --data_path data/mnist_sample.npz",
    "mnist_vae_after_training.py": "--n_importance 4 --n_images 20",
}


@pytest.mark.slow
def test_the_commands_of_the_readme_run_one_after_the_other(tmp_path, monkeypatch, uncompiled):
    for folder in ("data", "presets", "pretrained"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "data" / "input_data.dat", tmp_path / "table.dat")
    monkeypatch.chdir(tmp_path)
    text = read("README.md").replace("table.csv", "table.dat")
    found = re.findall(r"^    python (\w+\.py)([^#\n]*)", text, re.MULTILINE)
    runs = [("vae_main.py", ""), *found]
    for script, flags in runs:
        main = importlib.import_module(script.removesuffix(".py")).main
        main([*shlex.split(flags), *SHORTENED[script].split()])
    assert len(runs) >= 8
    pictures = {path.name for path in (tmp_path / "results").rglob("*.png")}
    assert pictures >= {"learning_curves.png", "decoder_data.png", "latent_traversal.png"}
    assert pictures >= {"beta_sweep.png", "common_information.png", "generated_means.png"}


def test_the_workflow_runs_the_test_command_of_the_readme():
    (commands_of_tests,) = re.findall(
        r"^    (python3 -m venv .*pytest -n 2)$", read("README.md"), re.MULTILINE
    )
    assert commands_of_tests in read(".github/workflows/tests.yml")
