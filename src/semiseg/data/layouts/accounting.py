"""Every file of a data folder is used, or a finding counts it by suffix and place."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from semiseg.core import shell
from semiseg.core.text import plural
from semiseg.data.findings import Finding, Severity
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.layouts.families import data_folders
from semiseg.data.pairing.beside import overlay_core
from semiseg.data.pairing.roles import role_of
from semiseg.data.tree import Entry, Tree

_DRAWN_ENDINGS = (
    *("label_viz", "_instanceIds", "_instanceTrainIds", "_labelIds", "_color", "_labelColor"),
    *("_invIds", "_invGray"),
)
_OF_SUGGEST = ("suggested.txt", "suggested.csv", "suggested.png", "correct.json", "loop.json")
_MAX_PLACES = 5  # folders that a sentence names


class FileKind(NamedTuple):
    """A kind of files that semiseg does not read.

    Attributes:
        name: in the plural.
        suffixes: in small letters, with their dots.
        remedy: what to do with them, as a sentence.
        severity: a warning where photographs or annotations may be lost.
    """

    name: str
    suffixes: tuple[str, ...]
    remedy: str
    severity: Severity = "warning"


FILE_KINDS = (
    FileKind(
        "Videos",
        (
            *(".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv", ".mts"),
            *(".m2ts", ".3gp", ".flv", ".ogv"),
        ),
        "To learn from the frames of a video: semiseg frames VIDEO --out {unlabeled}.",
    ),
    FileKind(
        "Raw files of cameras",
        (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw", ".raw"),
        "Convert them to JPEG or TIFF, for example with darktable.",
    ),
    FileKind(
        "Images of formats that semiseg does not read",
        (
            *(
                ".svg",
                ".psd",
                ".xcf",
                ".kra",
                ".exr",
                ".hdr",
                ".jxl",
                ".eps",
                ".ai",
                ".ico",
                ".pcx",
            ),
            *(".dds", ".sgi", ".ras", ".ecw", ".sid", ".jxr", ".wdp", ".fits", ".fit", ".bil"),
        ),
        "Convert them to PNG, JPEG or TIFF.",
    ),
    FileKind(
        "Scans and microscope images of formats that semiseg does not read",
        (
            *(
                ".mha",
                ".mhd",
                ".nrrd",
                ".nhdr",
                ".img",
                ".czi",
                ".lif",
                ".nd2",
                ".lsm",
                ".oib",
                ".oif",
            ),
            *(".svs", ".ndpi", ".vsi", ".mrxs", ".scn", ".zvi", ".ims", ".mrc"),
        ),
        "Convert them to TIFF with one image per file, for example with Fiji.",
    ),
    FileKind(
        "Arrays",
        (
            *(".npy", ".npz", ".mat", ".h5", ".hdf5", ".hdf", ".nc", ".pkl", ".parquet"),
            *(".tfrecord", ".tfrecords", ".mdb", ".zarr", ".pt", ".pth"),
        ),
        "Save each image, and each mask of class ids, as a PNG or TIFF file.",
    ),
    FileKind(
        "Archives",
        (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"),
        "If they hold images, unpack them. Tars of unlabeled images can stay: name their folder "
        "with --unlabeled.",
    ),
    FileKind(
        "Vector files",
        (".shp", ".geojson", ".kml", ".kmz", ".gpkg", ".dxf"),
        "semiseg reads the polygons of .gpkg and .geojson beside GeoTIFFs, if there are no other "
        "masks. Draw others as masks, for example with gdal_rasterize.",
    ),
)
"""The kinds of files that may hold images or annotations and are not read."""
TEXTS = (
    ".txt",
    ".json",
    ".xml",
    ".csv",
    ".tsv",
    ".yaml",
    ".yml",
    ".toml",
    ".ini",
    ".cfg",
    ".jsonl",
)
"""Suffixes of texts, which may be annotations where they have the images' names."""
_DOCUMENTS = (
    *(".md", ".rst", ".pdf", ".html", ".htm", ".doc", ".docx", ".odt", ".xls", ".xlsx", ".ods"),
    *(".ppt", ".pptx", ".rtf", ".tex", ".bib", ".log", ".py", ".ipynb", ".sh", ".bat", ".m", ".r"),
    *(".url", ".lnk", ".webloc", ".db", ".sqlite", ".lock", ".md5", ".sha1", ".sha256", ".sig"),
    # beside images of maps and of cameras
    *(".tfw", ".tifw", ".jgw", ".jpgw", ".pgw", ".pngw", ".wld", ".prj", ".ovr", ".aux", ".cpg"),
    *(".dbf", ".shx", ".sbn", ".sbx", ".qgz", ".qgs", ".qml", ".qpj", ".xmp", ".thm", ".lrv"),
    *(".cache", ".tmp", ".bak", ".part", ".crdownload", ".swp", ".orig"),
)
_DOCUMENT_NAMES = (
    *("readme", "license", "licence", "copying", "changelog", "authors", "notice", "citation"),
    *("attribution", "makefile", "dockerfile", "thumbs", "desktop", "ehthumbs", "icon\r"),
)


def account(
    tree: Tree,
    files_in_use: Iterable[Path],
    image_remedy: str = "",
    image_severity: Severity = "warning",
    with_texts: bool = True,
) -> list[Finding]:
    """Count the files that are not used, by kind, suffix and folder.

    Hidden files, documents, runs and what `suggest` wrote are passed over.

    Args:
        tree: the folder, whole: a data folder, or one of images to predict.
        files_in_use: the files that are read, or that another finding counts.
        image_remedy: what to do with images that are not read.
        image_severity: of the finding on images that are not read.
        with_texts: whether texts count, such as lists and annotations.
    """
    every, dead = _files(tree)
    files_in_use = list(files_in_use)
    files_in_use = {*files_in_use, *_elsewhere(tree, files_in_use)}
    rest = [path for path in every if path not in files_in_use]
    findings = _dead_links(tree, dead)
    denied = [folder for folder in tree.denied() if folder.is_relative_to(tree.root)]
    if denied:
        message = "Folders that may not be listed, so that nothing in them is read"
        remedy = "Change their permissions, or move them away."
        findings.append(_finding(tree, denied, message, remedy, "warning"))
    pictures = [path for path in rest if path.name.lower().endswith(IMAGE_SUFFIXES)]
    overlays = [path for path in pictures if _is_drawn(tree, path)]
    if overlays:
        message = "Instances, overlays or predictions that are not read"
        message = f"{message} ({places(tree, overlays)})"
        findings.append(_finding(tree, overlays, message, "", "note"))
    images = sorted(set(pictures) - set(overlays))
    if images:
        message = f"{_count(len(images), 'image')} not read ({places(tree, images)})"
        findings.append(_finding(tree, images, message, image_remedy, image_severity))
    by_kind: dict[FileKind, list[Path]] = defaultdict(list)
    texts, others = [], []
    for path in sorted(set(rest) - set(pictures)):
        name = path.name.lower()
        if name.endswith(".aux.xml"):  # of GDAL, beside each image
            continue
        kind = next((kind for kind in FILE_KINDS if name.endswith(kind.suffixes)), None)
        if kind is not None:
            by_kind[kind].append(path)
        elif name.endswith(TEXTS) and not name.startswith(_DOCUMENT_NAMES):
            texts.append(path)
        elif not name.endswith(_DOCUMENTS) and not name.startswith(_DOCUMENT_NAMES):
            others.append(path)
    for kind, files in by_kind.items():
        message = f"{kind.name} that are not read ({places(tree, files)})"
        remedy = kind.remedy.format(unlabeled=shell.quote(str(tree.root / "unlabeled")))
        findings.append(_finding(tree, files, message, remedy, kind.severity))
    if others:
        message = f"Files of unknown kinds that are not read ({places(tree, others)})"
        remedy = "If they are images, save them as PNG, JPEG or TIFF, with the right suffix."
        findings.append(_finding(tree, others, message, remedy, "warning"))
    if with_texts:
        findings += _texts(tree, texts, files_in_use)
    return findings


def places(tree: Tree, files: Sequence[Path]) -> str:
    """How many files of each suffix lie in which folder: `2 .mp4 in unlabeled, 1 .mov in train`."""
    counts = Counter((path.parent, _suffix(path)) for path in files)
    top = tree.root.absolute().name  # the path `.` has no name
    texts = [
        f"{count} {suffix or 'without suffix'} in {_below(tree, folder) or top}"
        for (folder, suffix), count in counts.most_common(_MAX_PLACES)
    ]
    return ", ".join(texts) + (", ..." if len(counts) > _MAX_PLACES else "")


def _texts(tree: Tree, texts: Sequence[Path], files_in_use: Collection[Path]) -> list[Finding]:
    """The findings on texts, which may be annotations if they have the names of images."""
    stems = {path.stem for path in files_in_use if path.name.lower().endswith(IMAGE_SUFFIXES)}
    texts_of_images = [
        path for path in texts if path.stem in stems or path.stem.rpartition(".")[0] in stems
    ]
    rest = sorted(set(texts) - set(texts_of_images))
    findings = []
    if texts_of_images:
        message = f"Texts of the images' names that are not read ({places(tree, texts_of_images)})"
        remedy = (
            "If they are annotations, export them again as COCO JSON, LabelMe JSON or masks; "
            "otherwise move them away."
        )
        findings.append(_finding(tree, texts_of_images, message, remedy, "warning"))
    if rest:
        message = f"Texts that are not read ({places(tree, rest)})"
        findings.append(_finding(tree, rest, message, "", "note"))
    return findings


def _dead_links(tree: Tree, links: Sequence[Path]) -> list[Finding]:
    """The findings on links that lead nowhere; otherwise an image would lose its mask silently."""
    masks = [path for path in links if _is_mask(tree, path)]
    others = [path for path in links if path not in set(masks)]
    remedy = "Repair the links, or remove them."
    findings = []
    if masks:
        message = "Links to masks that lead nowhere"
        findings.append(_finding(tree, masks, message, remedy, "error", "dead-link"))
    if others:
        message = "Links that lead nowhere"
        findings.append(_finding(tree, others, message, remedy, "warning", "dead-link"))
    return findings


def _elsewhere(tree: Tree, files: Iterable[Path]) -> list[Path]:
    """The files under their other paths, where folders are links to other folders of the tree."""
    real = Path(os.path.realpath(tree.root))
    others = {
        folder: tree.root / Path(os.path.realpath(folder)).relative_to(real)
        for folder in data_folders(tree)
        if tree.is_alias(folder)
    }
    pairs = [*others.items(), *((target, folder) for folder, target in others.items())]
    return [
        target / file.relative_to(folder)
        for folder, target in pairs
        for file in files
        if file.is_relative_to(folder)
    ]


def _is_drawn(tree: Tree, file: Path) -> bool:
    """Whether a folder, or the whole name of a file, says that something else is drawn."""
    parts = file.parent.relative_to(tree.root).parts
    return any(role_of(part).is_secondary for part in parts) or (
        file.stem.endswith(_DRAWN_ENDINGS) or bool(overlay_core(file.stem))
    )


def _is_mask(tree: Tree, path: Path) -> bool:
    """Whether a file or folder holds masks, as its name or a folder above it says."""
    parts = path.relative_to(tree.root).parts
    contents = [role_of(part).content for part in (*parts[:-1], path.stem)]
    return next((content for content in reversed(contents) if content), "") == "masks"


def _files(tree: Tree) -> tuple[list[Path], list[Path]]:
    """The files and the dead links of a tree, without hidden ones and the lists of `suggest`."""
    files: list[Path] = []
    dead: list[Path] = []
    for folder in data_folders(tree):
        for name, entry in tree.entries(folder).items():
            if name in _OF_SUGGEST and tree.holds_suggestions(folder):
                continue
            if name[0] != "." and entry is Entry.FILE:
                files.append(folder / name)
            elif name[0] != "." and entry is Entry.DEAD_LINK:
                dead.append(folder / name)
    return files, sorted(dead)


def _finding(
    tree: Tree,
    files: Sequence[Path],
    message: str,
    remedy: str,
    severity: Severity,
    kind: Literal["not-read", "dead-link"] = "not-read",
) -> Finding:
    names = tuple(_below(tree, path) for path in sorted(files))
    return Finding(kind, severity, names, message, remedy)


def _below(tree: Tree, path: Path) -> str:
    name = path.relative_to(tree.root).as_posix()
    return "" if name == "." else name


def _suffix(path: Path) -> str:
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def _count(number: int, noun: str) -> str:
    return plural(number, f"{noun} is", f"{noun}s are")
