"""`doctor`: what this machine and this installation have, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from semiseg.checks import machine
from semiseg.checks.machine import Cache, Device, Extra, Problem
from semiseg.commands._public import command
from semiseg.commands.settings.runs import DoctorSettings
from semiseg.core.text import columns, printable, wrap

T = TypeVar("T")


@dataclass(frozen=True)
class Diagnosis:
    """What `semiseg doctor` found.

    Attributes:
        versions: the version of each package by its name; empty where it is not installed.
        devices: the processor, and the accelerators that PyTorch can use.
        codecs: whether each image format can be read, by its name.
        extras: the optional parts of semiseg by name.
        weights: the encoders whose pretrained weights need no network.
        caches: the folders with what can be computed or downloaded again.
        disk: the free bytes of the disk of the current folder; None if unknown.
        problems: what is broken, missing or worth knowing; errors first.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    devices: Sequence[Device] = ()
    codecs: Mapping[str, bool] = field(default_factory=dict)
    extras: Mapping[str, Extra] = field(default_factory=dict)
    weights: Sequence[str] = ()
    caches: Sequence[Cache] = ()
    disk: int | None = None
    problems: Sequence[Problem] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing that semiseg requires is broken."""
        return not any(problem.severity == "error" for problem in self.problems)

    @property
    def status(self) -> int:
        """The exit status of the command line: 1 if something required is broken."""
        return 0 if self.ok else 1

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; docs/doctor.md describes the keys."""
        return {
            "ok": self.ok,
            "versions": dict(self.versions),
            "devices": [device._asdict() for device in self.devices],
            "codecs": dict(self.codecs),
            "extras": {name: extra._asdict() for name, extra in self.extras.items()},
            "weights": list(self.weights),
            "caches": [cache._asdict() for cache in self.caches],
            "disk": self.disk,
            "problems": [problem._asdict() for problem in self.problems],
        }

    def text(self) -> str:
        """Tables and sentences for the terminal."""
        disk = [] if self.disk is None else [["free disk here", _bytes(self.disk)]]
        sections = {
            "Versions": [
                [name, version or "not installed"] for name, version in self.versions.items()
            ],
            "Devices": [[d.name, _describe_device(d)] for d in self.devices] + disk,
            "Image formats": [
                [name, "read" if works else "not read here"] for name, works in self.codecs.items()
            ],
            "Optional parts": [
                [name, e.purpose if e.present else f"{e.purpose}: {e.remedy}"]
                for name, e in self.extras.items()
            ],
            "Weights without a network": [[name, ""] for name in self.weights] or [["none", ""]],
            "Caches": [[c.name, _describe_cache(c)] for c in self.caches],
        }
        parts = []
        for title, rows in sections.items():
            lines = columns(["", ""], [["  " + row[0], row[1]] for row in rows]).split("\n")[1:]
            parts.append("\n".join([title, *map(printable, lines)]))
        parts.append("\n".join(wrap(p.text, f"{p.severity:<9}") for p in self.problems))
        end = (
            "Nothing that semiseg requires is missing." if self.ok else "semiseg cannot work here."
        )
        return "\n\n".join(part for part in [*parts, end] if part)


@command(DoctorSettings)
def doctor(settings: DoctorSettings) -> Diagnosis:
    """Show versions, devices, image formats, caches and optional parts, and what is missing.

    Returns:
        What was found. It is not `ok` if something that semiseg requires is broken.
    """
    problems: list[Problem] = []

    def ask(question: Callable[[], tuple[T, list[Problem]]], otherwise: T) -> T:
        """The answer to a question; a machine that breaks it must not break the others."""
        try:
            answer, more = question()
        except Exception as error:  # drivers and damaged packages raise anything
            name = question.__name__.removeprefix("find_")
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            problems.append(Problem("warning", f"semiseg could not find the {name} ({reason})"))
            return otherwise
        problems.extend(more)
        return answer

    nothing: dict[str, str] = {}
    diagnosis = Diagnosis(
        versions=ask(machine.find_versions, nothing),
        devices=ask(machine.find_devices, ()),
        codecs=ask(machine.find_codecs, {}),
        extras=ask(machine.find_extras, {}),
        weights=ask(machine.find_weights, ()),
        caches=ask(machine.find_caches, ()),
        disk=ask(machine.find_disk, None),
        problems=problems,
    )
    order = ("error", "warning", "note")
    problems.sort(key=lambda problem: order.index(problem.severity))
    return diagnosis


def _describe_device(device: Device) -> str:
    memory = "" if device.memory is None else f"{_bytes(device.memory)} of memory"
    return ", ".join(part for part in (device.detail, memory) if part)


def _describe_cache(cache: Cache) -> str:
    if cache.path is None:
        return "there is no place for it"
    more = "more than " if cache.is_partial else ""
    size = f"{more}{_bytes(cache.size)}" if cache.exists else "empty"
    return f"{cache.path}: {size}{'' if cache.writable else ', cannot be written'}"


def _bytes(count: float) -> str:
    """A size in bytes as people say it."""
    if count >= 1e9:
        return f"{count / 1e9:,.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
