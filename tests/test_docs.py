"""The commands of README and docs: each is understood, and the cheap ones are run."""

import shlex
import shutil
from pathlib import Path

import pytest
from doc_commands import commands, exit_status
from PIL import Image, ImageOps

from semiseg.commands.verbs import VERBS

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(file for file in (ROOT / "docs").rglob("*.md") if "_build" not in file.parts),
]
CHEAP = {"check", "plan", "evaluate", "predict", "suggest", "report"}
FROM_A_RUN = CHEAP - {"check", "plan"}


def name_of(page):
    """The path of a page, as the name of its test."""
    return page.relative_to(ROOT).as_posix()


def test_there_are_commands():
    names = [words[0] for page in PAGES for words in commands(page)]
    assert set(VERBS) - {"download", "split", "demo"} <= set(names)
    assert len(names) > 40


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_is_understood(page, tmp_path, monkeypatch):
    calls = []

    def load_command(name):
        calls.append(name)
        return lambda *args, **settings: Done()

    monkeypatch.setattr("semiseg.commands.verbs.load_command", load_command)
    monkeypatch.chdir(tmp_path)
    for words in commands(page):
        if "--config" in words:  # of a run that the page has trained before
            file = Path(words[words.index("--config") + 1])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("data: DATA\n")
        assert exit_status(words) == 0, f"semiseg {shlex.join(words)}"
    expected = [
        "dry_run" if words[0] == "train" and "--dry-run" in words else words[0]
        for words in commands(page)
    ]
    assert calls == [name for name in expected if not name.startswith("-")]


class Done:
    """A result without a word."""

    def text(self):
        return ""


def runnable(words):
    """Cheap, and of files and extras that a test has."""
    needs = ("--budget", "--engine")
    starts = ("/", ".", "hf-hub:")
    strange = any(w.endswith(".onnx") or w.startswith(starts) or w in needs for w in words[1:])
    elsewhere = any("://" in w for w in words)  # no test asks a server outside of this machine
    return words[0] in CHEAP and not strange and not elsewhere


def write_test_split(data):
    """Images of `test`, which pages score: those of `val` from right to left."""
    for kind in ("images", "masks"):
        (data / "test" / kind).mkdir(parents=True)
        for file in sorted((data / "val" / kind).iterdir()):
            with Image.open(file) as image:
                ImageOps.mirror(image).save(data / "test" / kind / f"{file.stem}.png")


@pytest.mark.variants
@pytest.mark.parametrize("page", [p for p in PAGES if any(map(runnable, commands(p)))], ids=name_of)
def test_the_cheap_commands_run(page, reported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(reported.data, "DATA")
    write_test_split(Path("DATA"))
    for name in ("IMAGES", "NEW_IMAGES"):
        shutil.copytree(reported.data / "unlabeled", name)
    for words in filter(runnable, commands(page)):
        run = Path(words[1])
        if words[0] in FROM_A_RUN and not run.exists():
            shutil.copytree(reported.run, run, ignore=shutil.ignore_patterns("checkpoints"))
        code = exit_status(words)
        # What `suggest` wrote may give the check something to find.
        allowed = (0, 1) if words[0] == "check" else (0,)
        assert code in allowed, f"semiseg {shlex.join(words)}: {capsys.readouterr().err}"
