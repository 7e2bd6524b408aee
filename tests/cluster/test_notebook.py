"""The notebook of examples/ runs as it is, and what it shows are tables and pictures."""

import base64
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat", reason="the notebook's tools are not installed")
nbclient = pytest.importorskip("nbclient", reason="the notebook's tools are not installed")
pytest.importorskip("ipykernel", reason="the notebook's tools are not installed")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "few_defects.ipynb"


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """Executes the notebook elsewhere; the last line of a cell -> what it showed, by MIME type."""
    place = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "APC_BENCH_CACHE": str(place / "cache"),
        "IPYTHONDIR": str(place / "ipython"),
    }
    client = nbclient.NotebookClient(
        notebook, timeout=240, resources={"metadata": {"path": str(place)}}
    )
    client.execute(env=environment)
    return {
        cell.source.splitlines()[-1]: output.data
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    }


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["figure", "maps", 'run.figure("gallery")'])
def test_pictures_are_shown(shown, cell):
    with Image.open(io.BytesIO(base64.b64decode(shown[cell]["image/png"]))) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) > 250
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    assert 0.02 < (pixels != pixels[0, 0]).any(axis=2).mean() < 0.98


@pytest.mark.slow
def test_the_table_is_shown_with_its_definitions_and_provenance(shown):
    page = shown['run.table("poster")']["text/html"]
    for words in ("<td class", "PatchCore", "AUROC_im", "± standard deviation", "computing.torch"):
        assert words in page


@pytest.mark.slow
def test_a_frame_and_the_provenance_are_shown(shown):
    assert "above all normal photos" in shown[")"]["text/html"]
    assert "fingerprints.weave" in shown["run.provenance"]["text/html"]


def test_the_notebook_is_kept_without_what_it_showed():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
