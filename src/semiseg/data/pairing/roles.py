"""What the name of a folder says about its files: images or masks, and of which split."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

Content = Literal["images", "masks", ""]
Split = Literal["train", "val", "test", "unlabeled", ""]

_IMAGES = """
image images img imgs im ims picture pictures pic pics photo photos photograph photographs
jpegimages leftimg8bit rgb sat satellite input inputs frame frames original originals ortho
orthos orthophoto orthophotos aerial bilder fotos imagens imagenes imágenes immagini
"""
IMAGE_WORDS = frozenset(_IMAGES.split())
"""The words for folders of images, in small letters."""
_MASKS = """
mask masks msk msks maske masken label labels lbl lbls annotation annotations annotate
annot annots ann anns anno annos gt gts groundtruth groundtruths truth segmentation
segmentations segmentationclass seg segs segmap segmaps segment segments target targets manual
manuals semantic semantics output outputs gtfine gtcoarse labelids trimap trimaps matte mattes
masque masques mascara mascaras máscara máscaras maschera maschere etiqueta etiquetas
anotaciones anotações anotacoes étiquettes beschriftungen маска 掩码 掩膜 标签
"""
MASK_WORDS = frozenset(_MASKS.split())
"""The words for folders of masks, in small letters."""
_TRAIN_WORDS = "train training trn tr trainset entrenamiento entraînement entrainement treino"
_VAL_WORDS = """
val valid validation validate vld valset validierung validación validacion validação validacao
"""
_TEST_WORDS = "test testing tst ts testset prueba pruebas teste"
_UNLABELED_WORDS = """
unlabeled unlabelled unlabel unannotated unlab unsup unsupervised unbeschriftet
unannotiert ungelabelt
"""
SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(_TRAIN_WORDS.split(), "train"),
    **dict.fromkeys(_VAL_WORDS.split(), "val"),
    **dict.fromkeys(_TEST_WORDS.split(), "test"),
    **dict.fromkeys(_UNLABELED_WORDS.split(), "unlabeled"),
}
"""The words for splits, in small letters."""
_WHOLE_NAMES: dict[str, tuple[Content, Split]] = {
    "pool": ("", "unlabeled"),
    "dev": ("", "val"),
    "eval": ("", "val"),
    "evaluation": ("", "val"),
}  # words that mean something only where they are the whole name
_NEGATIONS = ("no", "not", "without", "un", "non")
_COMPANY = ("with", "having", "mit")
_ADJECTIVES = frozenset(("labeled", "labelled", "annotated"))
_FILLING = """
dir dirs folder data dataset set sets file files png pngs jpg jpgs jpeg jpegs tif tiff tiffs bmp
gif class classes the of all 8bit raw ground
"""
_FILLERS = frozenset(_FILLING.split())
_OTHER = """
visualization visualizations visualisation visualisations visual vis viz overlay overlays
preview previews thumb thumbs thumbnail thumbnails human instance instances inst object objects
panoptic depth disparity bbox bboxes box boxes edge edges boundary boundaries contour contours
prediction predictions predicted pred preds result results color colors colored colour colours
colormap colormaps output outputs fov roi rois coloured colorized blend blended debug weak
masked segmented
"""
_DRAWN = frozenset(_OTHER.split())  # what many tools put beside the images and the masks of classes
_OWN_NAMES = ("annotations", "labels", "images", "annot", "masks", "label")
_PICTURES = frozenset(
    (
        *("overlay", "overlays", "visualization", "visualizations", "viz", "vis", "preview"),
        *("previews", "thumb", "thumbs", "thumbnail", "thumbnails", "prediction", "predictions"),
        *("preds", "colormap", "colormaps", "instance", "instances", "panoptic"),
        *("depth", "disparity"),
    )
)  # words that say without another one that a folder holds no data
_STRONG = frozenset(
    ("images", "image", "imgs", "img", "masks", "mask", "labels", "label", "annotations", "gt")
)  # words that count below another folder with a content
_SEPARATORS = re.compile(r"[\W_]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+|[^\W\d_a-zA-Z]+")
_NUMBER = re.compile(r"(?<=[a-z])(?=\d)")


class Role(NamedTuple):
    """What the name of a folder says.

    Attributes:
        content: `images`, `masks`, or nothing.
        split: `train`, `val`, `test`, `unlabeled`, or nothing.
        rest: the name without the words for that, in small letters: `2017` in `train2017`. Words
            such as `data` are left out as well.
        is_secondary: whether another folder comes first: this one holds instances, colors, overlays
            or predictions.
        is_strong: whether this counts below a folder with another content: in `images/manual`, the
            images may show manuals.
    """

    content: Content = ""
    split: Split = ""
    rest: str = ""
    is_secondary: bool = False

    is_strong: bool = True

    @property
    def is_neutral(self) -> bool:
        """Whether the name says nothing, such as that of a camera or a day."""
        return not (self.content or self.split)


@cache
def role_of(name: str) -> Role:
    """The role of a folder of this name.

    Words count in any case, alone or together: `Train`, `val_masks`, `TrainImages`, `trainannot`,
    `imagesTr`, `train2017`.

    Example:
        >>> role_of("stage1_train").split, role_of("stage1_train").rest
        ('train', 'stage-1')
        >>> role_of("labelsTr").content, role_of("labelsTr").split
        ('masks', 'train')
    """
    name = unicodedata.normalize("NFC", name)
    if name.lower() in _WHOLE_NAMES:
        return Role(*_WHOLE_NAMES[name.lower()], is_strong=False)
    words = _words(name)
    words, is_pool = _without_negation(words)
    words = _without_company(words)
    letter = next((word for word in words if word in ("x", "y")), "")
    if letter and all(word in SPLIT_WORDS for word in words if word != letter):
        words = [{"x": "images", "y": "masks"}.get(word, word) for word in words]  # X_train
    if "lab" in words and len(words) > 1 and {*words} - {"lab"} <= SPLIT_WORDS.keys():
        words = ["labels" if word == "lab" else word for word in words]  # train_lab
    meanings = [_meaning(word) for word in words]
    contents: set[Content] = {content for content, _ in meanings if content}
    splits: list[Split] = [split for _, split in meanings if split]
    content: Content = "masks" if "masks" in contents else "images" if contents else ""
    if is_pool or "unlabeled" in splits:
        split: Split = "unlabeled"
    else:
        split = splits[0] if splits and set(splits[1:]) <= {splits[0], "val"} else ""
    rest = [
        word
        for word, (own, part) in zip(words, meanings, strict=True)
        if not (own or part or word in _FILLERS or word in _ADJECTIVES)
    ]
    is_secondary = not _DRAWN.isdisjoint(words) and (content != "" or _PICTURES.issuperset(words))
    is_secondary |= content == "masks" and "rgb" in words  # semantic_rgb beside semantic
    is_strong = bool(split) or (not letter and not _STRONG.isdisjoint(words))
    return Role(content, split, "-".join(rest), is_secondary, is_strong)


def bare_content(stem: str) -> Content:
    """The content of a file whose name is nothing but a word for it: `image.png`, `mask.png`.

    Example:
        >>> bare_content("label"), bare_content("label_07"), bare_content("07")
        ('masks', '', '')
    """
    role = role_of(stem)
    return role.content if not (role.split or role.rest) else ""


def roles_of(names: Sequence[str]) -> list[Role]:
    """The roles of folders, each within the one before it."""
    roles: list[Role] = []
    for name in names:
        roles.append(role_within(name, roles))
    return roles


def role_within(name: str, above: Sequence[Role]) -> Role:
    """The role of a folder within others.

    Args:
        name: of the folder.
        above: the roles of the folders that it lies in, the outer ones first.
    """
    role = role_of(name)
    contents = {other.content for other in above if other.content}
    splits = {other.split for other in above if other.split}
    is_weak = not role.is_strong and contents
    repeats = role.rest and role.content in (*contents, "") and role.split in (*splits, "")
    if is_weak or (repeats and not role.is_neutral):  # train/train07, images/image_07
        return Role(rest=name, is_secondary=role.is_secondary)
    return role


def _meaning(word: str) -> tuple[Content, Split]:
    content: Content = "masks" if word in MASK_WORDS else "images" if word in IMAGE_WORDS else ""
    return content, SPLIT_WORDS.get(word, "")


def _words(name: str) -> list[str]:
    """The words of a name, in small letters."""
    words = []
    for part in _SEPARATORS.split(name):
        if not part:
            continue
        whole = _pieces(part.lower())
        if whole is not None:  # before camel case, which a name in capitals does not have
            words += whole
            continue
        for piece in _CAMEL.findall(part):
            words += _pieces(piece.lower()) or _tail(piece.lower())
    return words


def _pieces(text: str) -> list[str] | None:
    """The known words that a text consists of; None if there is anything else in it."""
    if text in _VOCABULARY or text.isdigit():
        return [text]
    for end in range(len(text) - 1, 1, -1):
        head, tail = text[:end], text[end:]
        if head in _VOCABULARY and (more := _pieces(tail)) is not None:
            return [head, *more]
    return None


def _tail(text: str) -> list[str]:
    """A text, and the known word at its end: `default`, `annot`."""
    for word in _OWN_NAMES:
        if text.endswith(word) and len(text) > len(word):
            return [text[: -len(word)], word]
    return [part for part in _NUMBER.split(text) if part]


def _without_negation(words: list[str]) -> tuple[list[str], bool]:
    """Words without `no masks` and the like, and whether there was one."""
    for i, word in enumerate(words[:-1]):
        following = words[i + 1]
        if word in _NEGATIONS and (following in MASK_WORDS or following in _ADJECTIVES):
            return [*words[:i], *words[i + 2 :]], True
    return words, False


def _without_company(words: list[str]) -> list[str]:
    """Words without those behind `with`: `frames-with-annotations` holds frames."""
    for i, word in enumerate(words[1:-1], 1):
        if word in _COMPANY and words[i + 1] in MASK_WORDS:
            return [*words[:i], *words[i + 2 :]]
    return words


_VOCABULARY = frozenset(
    IMAGE_WORDS | MASK_WORDS | SPLIT_WORDS.keys() | _FILLERS | _ADJECTIVES | _DRAWN
) | frozenset(("no", "not", "without", "non", "ground"))
