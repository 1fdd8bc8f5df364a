"""`split`: the lists of a training, written down so that others can use the same."""

from __future__ import annotations

from pathlib import Path

from semiseg.core.errors import RunError


def split(
    data: Path,
    *,
    labels: str,
    out: Path,
    seed: int = 0,
    dataset: str | None = None,
    classes: Path | None = None,
) -> dict[str, int]:
    """Choose the labeled images of a data folder, and write the lists of names.

    They are those of `train --labels LABELS --split-seed SEED`, and `train --labels
    OUT/labeled.txt` takes them, here or elsewhere.

    Args:
        data: the data folder.
        labels: masks to use: a number, a share (`0.1`, `10%`, `1/8`), `all` or a list to go by.
        out: the folder to write; `labeled.txt`, `unlabeled.txt` and `val.txt`, a name a line.
        seed: the seed of the choice.
        dataset: as for `train`.
        classes: as for `train`.

    Returns:
        The number of names in each list, by its name.

    Raises:
        DataError: something is wrong with the data.
        ConfigError: `labels` cannot be understood, or asks for more than there are.
        RunError: the folder holds other lists, or cannot be written.
    """
    from semiseg.data.reader import load_dataset
    from semiseg.data.splits import make_split
    from semiseg.training.session import say

    folder = Path(out)
    contents = load_dataset(Path(data), None if classes is None else Path(classes), dataset)
    chosen = make_split(contents, str(labels), seed)
    say([*contents.notes, *chosen.notes])
    lists = chosen.lists()
    texts = {name: "".join(f"{s.name}\n" for s in samples) for name, samples in lists.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            file = folder / f"{name}.txt"
            if file.exists() and file.read_bytes() != text.encode():
                raise RunError(f"{file} holds another list. Choose another --out.")
        for name, text in texts.items():
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error}). Choose another --out.") from error
    return {name: len(samples) for name, samples in lists.items()}
