"""Lists of classes in the forms in which other tools write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from semiseg.core.errors import DataError
from semiseg.data.classes.class_sources import CLASS_SOURCES, find_class_files, read_class_file
from semiseg.data.tree import Tree

BLACK, RED = (0, 0, 0), (255, 0, 0)


def read(folder: Path, name: str, text: str) -> tuple[list[tuple[object, ...]], bool]:
    """The entries of a file, and whether it gives the ids."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    named_classes = read_class_file(path)
    return [tuple(entry) for entry in named_classes.entries], named_classes.has_ids


@pytest.mark.parametrize(
    "text",
    [
        "soil\nsugar beet\n",
        "soil\n\n# a comment\nsugar beet",
        "'soil'\n\"sugar beet\"\n",
        "- soil\n- sugar beet",
        "soil, sugar beet",
    ],
)
def test_names_alone_count_from_0(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, "classes.txt", text) == (
        [("soil", 0, None), ("sugar beet", 1, None)],
        False,
    )


@pytest.mark.parametrize(
    "text",
    [
        "0 soil\n5 sugar beet",
        "0: soil\n5: sugar beet",
        "0,soil\n5,sugar beet",
        "soil 0\nsugar beet 5",
        "0. soil\n5. sugar beet",
        "id name\n0 soil\n5 sugar beet",
    ],
)
@pytest.mark.parametrize("name", ["labels.txt", "obj.names", "classes.csv"])
def test_an_id_before_or_after_the_name(tmp_path: Path, name: str, text: str) -> None:
    assert read(tmp_path, name, text) == ([("soil", 0, None), ("sugar beet", 5, None)], True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("label_colors.txt", "0 0 0 soil\n255 0 0 sugar beet\n"),
        ("label_colors.txt", "0 0 0\tsoil\n255 0 0\t\tsugar beet"),
        ("label_colors.txt", "# r g b name\nsoil 0 0 0\nsugar beet 255 0 0"),
        ("label_colors.txt", "soil #000000\nsugar beet #ff0000"),
        ("classes.txt", "soil (0, 0, 0)\nsugar beet (255,0,0)"),
        ("classes.txt", "soil 0 0 0 255\nsugar beet 255 0 0 255\nclay 255 0 1 255"),
        ("class_dict.csv", "name,r,g,b\nsoil,0,0,0\nsugar beet,255,0,0\n"),
        ("class_dict.csv", "name, r, g, b\nsoil, 0, 0, 0\nsugar beet, 255, 0, 0\n"),
        ("class_dict_seg.csv", '"r";"g";"b";"class"\n"0";"0";"0";"soil"\n255;0;0;sugar beet'),
        ("palette.json", '{"soil": [0, 0, 0], "sugar beet": "#ff0000"}'),
        (
            "classes.json",
            '[{"name": "soil", "color": "#000000"}, {"name": "sugar beet", "color": [255, 0, 0]}]',
        ),
        (
            "meta.json",
            '{"classes": [{"title": "soil", "shape": "bitmap", "color": "#000000"}, '
            '{"title": "sugar beet", "shape": "bitmap", "color": "#FF0000"}], "tags": []}',
        ),
    ],
)
def test_colors_without_ids(tmp_path: Path, name: str, text: str) -> None:
    entries, has_ids = read(tmp_path, name, text)
    assert entries[:2] == [("soil", 0, BLACK), ("sugar beet", 1, RED)]
    assert not has_ids


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "0 soil 0 0 0\n5 sugar beet 255 0 0"),
        ("classes.txt", "soil\t0\t0 0 0\nsugar beet\t5\t255 0 0"),
        ("classes.csv", "id,name,color\n0,soil,#000000\n5,sugar beet,#ff0000"),
        ("classes.csv", "label,r,g,b,value\nsoil,0,0,0,0\nsugar beet,255,0,0,5"),
        (
            "dataset_meta.json",
            '{"label_map": {"0": "soil", "5": "sugar beet"}, '
            '"segmentation_colors": [[0, 0, 0], [255, 0, 0]], "background_label": "0"}',
        ),
        (
            "classes.json",
            '{"0": {"name": "soil", "color": [0, 0, 0]}, '
            '"5": {"name": "sugar beet", "color": [255, 0, 0]}}',
        ),
    ],
)
def test_ids_and_colors(tmp_path: Path, name: str, text: str) -> None:
    assert read(tmp_path, name, text) == ([("soil", 0, BLACK), ("sugar beet", 5, RED)], True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dataset.json", '{"labels": {"0": "soil", "5": "sugar beet"}, "numTraining": 3}'),
        ("dataset.json", '{"labels": {"soil": 0, "sugar beet": 5}, "file_ending": ".png"}'),
        ("id2label.json", '{"5": "sugar beet", "0": "soil"}'),
        ("label2id.json", '{"soil": 0, "sugar beet": 5}'),
        ("data.yaml", "path: x\nnames: {0: soil, 5: sugar beet}\n"),
        (
            "labels.json",
            '{"categories": [{"id": 0, "name": "soil"}, {"id": 5, "name": "sugar beet"}]}',
        ),
    ],
)
def test_ids_in_json(tmp_path: Path, name: str, text: str) -> None:
    assert read(tmp_path, name, text) == ([("soil", 0, None), ("sugar beet", 5, None)], True)


def test_numbers_that_belong_to_names_are_no_ids(tmp_path: Path) -> None:
    entries, has_ids = read(tmp_path, "classes.txt", "class 1\nclass 2\n")
    assert entries == [("class 1", 0, None), ("class 2", 1, None)]
    assert not has_ids


@pytest.mark.parametrize(
    ("name", "text", "void"),
    [
        ("class_names.txt", "__ignore__\n_background_\ncat\n", ("__ignore__", 255, None)),
        ("codes.txt", "_background_\ncat\nVoid\n", ("Void", 2, None)),
        (
            "dataset.json",
            '{"labels": {"_background_": 0, "cat": 1, "ignore": 2}}',
            ("ignore", 2, None),
        ),
        ("label_colors.txt", "1 1 1 _background_\n2 2 2 cat\n0 0 0 Void", ("Void", 2, BLACK)),
    ],
)
def test_names_of_void_are_no_classes(
    tmp_path: Path, name: str, text: str, void: tuple[object, ...]
) -> None:
    (tmp_path / name).write_text(text)
    named_classes = read_class_file(tmp_path / name)
    assert [(entry.name, entry.id) for entry in named_classes.entries] == [
        ("_background_", 0),
        ("cat", 1),
    ]
    assert void in [tuple(entry) for entry in named_classes.void]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.txt", "a/b/1.png a/b/2.png\n", "no list of classes: 'a/b/1.png"),
        ("labels.txt", "1.jpg 3\n2.jpg 4", "no list of classes: '1.jpg 3'"),
        ("labels.txt", "0 0.51 0.52 0.1 0.1\n", "no list of classes"),
        ("labels.txt", "1\n2\n3\n", "holds no names"),
        ("labels.txt", "word\n" * 301, "301 lines"),
        (
            "labels.txt",
            "A long sentence about the data, which someone wrote down here.",
            "no list",
        ),
        ("labels.csv", "image,label\n1.jpg,3\n", "no list of classes"),
        ("classes.json", "[]", "names no classes"),
        ("classes.json", "{", "cannot be read as JSON"),
        ("classes.json", '[{"id": 3}]', "has no name"),
        ("dataset.json", '{"labels": {"background": 0, "whole": [1, 2], "core": [2]}}', "regions"),
        ("class_dict.csv", "name,r,g,b\na,0,0,300\n", "300"),
    ],
)
def test_what_is_no_list_of_classes_says_why(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_class_file(tmp_path / name)
    assert name in caught.value.message


def test_files_are_found_beside_the_masks_and_on_the_way_to_them(tmp_path: Path) -> None:
    for file in (
        "labels.txt",
        "wrap/class_dict.csv",
        "wrap/masks/Classes.TXT",
        "elsewhere/classes.txt",
        "wrap/notes.txt",
    ):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\nb\n")
    (tmp_path / "wrap" / "dataset.json").write_text('{"images": [], "labels": {"a": 0, "b": 1}}')
    files = find_class_files(Tree(tmp_path), [tmp_path / "wrap" / "masks" / "1.png"])
    assert [file.name for file in files] == [
        "wrap/class_dict.csv",
        "wrap/masks/Classes.TXT",
        "labels.txt",
    ]
    masks_elsewhere = tmp_path / "elsewhere" / "1.png"  # beside a data folder, as a flag names it
    files = find_class_files(Tree(tmp_path / "wrap"), [masks_elsewhere])
    assert [Path(file.name).name for file in files] == ["class_dict.csv", "classes.txt"]


def test_each_kind_of_file_is_found_by_its_example(tmp_path: Path) -> None:
    for source in CLASS_SOURCES:
        folder = tmp_path / source.example
        folder.mkdir()
        texts = {".csv": "0,a\n1,b\n", ".yaml": "names: [a, b]\n"}
        text = texts.get(Path(source.example).suffix, '{"labels": {"a": 0, "b": 1}}')
        (folder / source.example).write_text(text)
        (file,) = find_class_files(Tree(folder), [])
        assert file.source is source
