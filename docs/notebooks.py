"""Executes the notebooks of the gallery in place, for the docs.

    python docs/notebooks.py [NAME ...]

The notebooks keep their outputs: what was printed, and the figures as small PNG files. The first
figure is the thumbnail of `gallery.md`.
"""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

GALLERY = Path(__file__).parent / "gallery"
TIMEOUT = 3600  # seconds for a cell
THUMBNAIL = (640, 640)
_COLORS = 128  # of a figure, which makes its file a third as large


def execute(path: Path, folder: Path | None = None) -> nbformat.NotebookNode:
    """Run all cells of a notebook.

    Args:
        path: the notebook.
        folder: the working folder; that of the notebook by default.

    Returns:
        The notebook with its outputs.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder or path.parent)}},
    )
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [_kept(output) for output in cell.outputs if _is_kept(output)]
    return notebook


def _is_kept(output: nbformat.NotebookNode) -> bool:
    """Log lines and progress bars are not kept."""
    return output.get("name") != "stderr"


def _kept(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An output with a smaller picture."""
    data = output.get("data", {})
    if "image/png" in data:
        with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as image:
            small = image.convert("RGB").quantize(_COLORS)
        file = io.BytesIO()
        small.save(file, "PNG", optimize=True)
        data["image/png"] = base64.b64encode(file.getvalue()).decode()
        data.pop("image/jpeg", None)
    return output


def pictures(notebook: nbformat.NotebookNode) -> list[Image.Image]:
    """The figures of a notebook, in their order."""
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    files = [out["data"]["image/png"] for out in outputs if "image/png" in out.get("data", {})]
    return [Image.open(io.BytesIO(base64.b64decode(file))).convert("RGB") for file in files]


def main() -> None:
    """Execute some notebooks, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="such as crops; all without a name")
    names = parser.parse_args().names
    for path in sorted(GALLERY.glob("*.ipynb")):
        if not names or path.stem in names:
            notebook = execute(path)
            nbformat.write(notebook, path)
            thumbnail = pictures(notebook)[0]
            thumbnail.thumbnail(THUMBNAIL)
            thumbnail.save(path.with_suffix(".jpg"), quality=80)
            print(f"{path}: {path.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
