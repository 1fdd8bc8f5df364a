"""The loop of correcting and training: its rounds and its trainings, in a file that survives.

A round is a queue of images whose masks a person corrects. A training learns from the accepted
masks of all rounds, and the next round's masks come from the best model so far.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock

from semiseg.core.errors import RunError
from semiseg.core.files import atomic_write, read_json
from semiseg.core.records import from_plain
from semiseg.core.scores import Scores, read_scores
from semiseg.correction.queue import States
from semiseg.data.corrected import find_originals
from semiseg.training.run_folder import SCORES

LOOP_FILE = "loop.json"
_FORMAT = 1


@dataclass(frozen=True)
class Round:
    """A queue of images.

    Attributes:
        folder: the output folder of `suggest`.
        run: the run whose model proposed the masks.
    """

    folder: str
    run: str


@dataclass(frozen=True)
class Training:
    """A training that the page started.

    Attributes:
        run: its run folder.
        start_from: the run whose model it continues from.
        corrected: the folder with copies of the masks that were accepted by then.
        masks: the number of these masks.
        words: the command line, without the interpreter.
        pid: the process.
        is_stopped: whether a person has stopped it.
    """

    run: str
    start_from: str
    corrected: str
    masks: int
    words: list[str]
    pid: int = 0
    is_stopped: bool = False


@dataclass(frozen=True)
class Record:
    """The contents of the file.

    Attributes:
        images: what `suggest` chooses from; None if nobody said it.
        rounds: the rounds, the newest one last.
        trainings: the trainings, the newest one last.
    """

    images: str | None
    rounds: list[Round]
    trainings: list[Training]


class Loop:
    """The rounds and trainings that began with one queue.

    Args:
        file: where they are written down: in the folder of the first queue.
        record: what is written there.
    """

    def __init__(self, file: Path, record: Record) -> None:
        self.file, self.record = file, record
        self._images = record.images
        self._lock = Lock()

    def reload(self) -> None:
        """Read what another server may have written.

        Raises:
            RunError: the file cannot be read.
        """
        with self._lock:
            self.record = self._newest()

    @property
    def folder(self) -> Path:
        """The images and masks of the newest round."""
        return Path(self.record.rounds[-1].folder)

    @property
    def run(self) -> Path:
        """The run whose model proposed the masks of the newest round."""
        return Path(self.record.rounds[-1].run)

    @property
    def training(self) -> Training | None:
        """The newest training."""
        return self.record.trainings[-1] if self.record.trainings else None

    def runs(self) -> list[Path]:
        """The first run and those of the trainings, finished or not."""
        return [Path(self.record.rounds[0].run), *(Path(t.run) for t in self.record.trainings)]

    def best_run(self) -> Path:
        """The run with the highest mIoU on val; the newer one of two equal ones.

        Runs without a score, or with one of other validation images, lose against any other.
        """
        first = scores_of(self.runs()[0])

        def score(run: Path) -> float:
            scores = scores_of(run)
            if scores is None or scores.miou.released is None or not is_comparable(scores, first):
                return -1.0
            return scores.miou.released

        candidates = [run for run in self.runs() if scores_of(run) is not None]
        return max(reversed(candidates), key=score) if candidates else self.runs()[0]

    def accepted(self) -> Iterator[tuple[int, Path, str]]:
        """The accepted masks of all rounds: the round's number, its folder, the image's name."""
        for number, one in enumerate(self.record.rounds, 1):
            for name, state in States(Path(one.folder)).items():
                if state == "accepted":
                    yield number, Path(one.folder), name

    def decided_originals(self) -> set[Path]:
        """The images that were accepted or skipped in any round; they are not suggested again."""
        files: set[Path] = set()
        for one in self.record.rounds:
            folder = Path(one.folder)
            names = [name for name, state in States(folder).items() if state != "open"]
            files |= set(find_originals(folder, names).values())
        return files

    def begin_training(self, training: Training) -> None:
        """Add a training.

        Raises:
            OSError: the file cannot be written.
            RunError: the file cannot be read.
        """
        self._change(lambda record: replace(record, trainings=[*record.trainings, training]))

    def change_training(self, **values: object) -> None:
        """Change the newest training.

        Raises:
            OSError: the file cannot be written.
            RunError: the file cannot be read.
        """

        def change(record: Record) -> Record:
            *others, last = record.trainings
            changed = replace(last, **values)  # type: ignore[arg-type]
            return replace(record, trainings=[*others, changed])

        self._change(change)

    def begin_round(self, folder: Path, run: Path) -> None:
        """Add a round.

        Raises:
            OSError: the file cannot be written.
            RunError: the file cannot be read.
        """
        one = Round(str(folder.absolute()), str(run.absolute()))
        self._change(lambda record: replace(record, rounds=[*record.rounds, one]))

    def _newest(self) -> Record:
        """What the file says now; another server may have written it."""
        if not self.file.is_file():
            return self.record
        return replace(_read(self.file), images=self._images)

    def _change(self, change: Callable[[Record], Record]) -> None:
        """Write the record anew; a round and a training may begin at the same time."""
        with self._lock:
            record = change(self._newest())
            content = {"format": _FORMAT, **asdict(record)}
            with atomic_write(self.file) as file:
                file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
            self.record = record


def open_loop(out: Path, run: Path, images: Path | None) -> Loop:
    """The loop that a folder of images and masks belongs to, or a new one.

    Args:
        out: the folder that a person names: that of any round.
        run: the run that a person names.
        images: what `suggest` chooses from; None for what the loop says.

    Raises:
        RunError: the file of the loop cannot be read, or the person names another run.
    """
    out, run = out.absolute(), run.absolute()
    pool = None if images is None else str(images.absolute())
    for file in (out / LOOP_FILE, *sorted(out.parent.glob(f"*/{LOOP_FILE}"))):
        record = _read(file) if file.is_file() else None
        if record is None or str(out) not in [one.folder for one in record.rounds]:
            continue
        loop = Loop(file, replace(record, images=pool or record.images))
        if run not in loop.runs():
            first = loop.runs()[0]
            raise RunError(
                f"{out} belongs to trainings that began with {first}, not with {run}. Name that "
                f"run, or choose another --out. To forget these trainings, remove {file}."
            )
        return loop
    return Loop(out / LOOP_FILE, Record(pool, [Round(str(out), str(run))], []))


def scores_of(run: Path) -> Scores | None:
    """The scores of a finished run; None if it is not finished, or they cannot be read."""
    try:
        return read_scores(run / SCORES) if (run / SCORES).is_file() else None
    except RunError:
        return None


def is_comparable(scores: Scores, other: Scores | None) -> bool:
    """Whether two runs were validated on the same images."""
    return other is not None and scores.split.val == other.split.val


def _read(file: Path) -> Record:
    """The contents of the file of a loop.

    Raises:
        RunError: it cannot be read.
    """
    try:
        content = read_json(file)
        if not isinstance(content, Mapping) or content.get("format") != _FORMAT:
            raise ValueError(f"it has no format {_FORMAT}")
        record = from_plain(Record, content)
        if not record.rounds:
            raise ValueError("it holds no round")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{file} cannot be read ({error}). Restore it, or remove it: then the trainings that "
            "the page started are forgotten; their run folders stay."
        ) from error
    return record
