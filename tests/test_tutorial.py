"""The tutorial runs from its first cell to its last, in a copy of the repository."""

import shutil
from pathlib import Path

import pytest
from helpers import ROOT


@pytest.mark.slow
def test_every_cell_of_the_tutorial_runs(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    unneeded = shutil.ignore_patterns(".*", "results", "tests", "__pycache__")
    copy = Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=unneeded))
    notebook = nbformat.read(copy / "docs" / "tutorial.ipynb", as_version=4)
    resources = {"metadata": {"path": str(copy / "docs")}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    runs = {path.parent.name for path in (copy / "results" / "tutorial").glob("*/report.json")}
    assert runs == {"vae", "beta_4", "beta_1.5"}
