"""Writes the pages of the commands and of the settings: `python docs/reference_pages.py`.

It writes docs/commands/NAME.md, docs/commands/index.md, docs/settings.md, docs/method-settings.md
and docs/published.md from the code and from docs/command_notes.py. A test compares the pages with
what this script would write.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

from command_notes import NOTES, Notes
from published_page import published_page
from your_data import table

from semiseg.commands._flags import Section, default_text, metavar
from semiseg.commands.settings.options import MethodChoice
from semiseg.commands.verbs import COMMON, TITLES, VERBS, Verb
from semiseg.config.methods import METHODS
from semiseg.config.settings import AUTO, PlaceName, describe, flag, help_texts, hints, options
from semiseg.config.train import GROUPS, group_of

DOCS = Path(__file__).parent
MARK = "<!-- python docs/reference_pages.py writes this page from the code. Change the code. -->"

TRAINING = ("train", "plan")
"""The commands that take all settings of a training; `compare` takes most of them."""

COMMANDS = """# Commands

{mark}

`semiseg COMMAND --help` prints the same in the terminal.

{rows}

Messages go to stderr, and the result goes to stdout. `check`, `init`, `evaluate` and `doctor`
print it as JSON with `--json`.

## Exit status

{statuses}

Other statuses stand on the page of their command.
"""
STATUSES = {
    0: "the command has done its work",
    2: "a command line, a setting or a file that cannot be used; the message says what to do",
    130: "Ctrl-C stopped it",
    141: "the program that reads the output is gone, such as `head` in a pipe",
}
SETTINGS = """# Settings of a training

{mark}

A setting has one name in three places. `--encoder-lr 0.001` on the command line,
`encoder_lr: 0.001` in a file of `--config`, and `semiseg.train("DATA", encoder_lr=0.001)` in Python
are the same. A flag wins over the file, and the file over a recipe.

- `auto` means that the [plan](plan.md) decides. `semiseg plan DATA` shows each value with its
  reason.
- A setting of type *true or false* is a switch: `--diagnostics` and `--no-diagnostics`.
- In YAML and Python, a list is a list: `scale: [0.75, 1.5]`.
- `semiseg train --print-config DATA` prints all settings as YAML.

[Settings of the methods](method-settings.md) lists those that only one method has.

## The common ones

{common}
"""
METHOD_SETTINGS = """# Settings of the methods

{mark}

Each method has settings of its own, besides [those of every training](settings.md).
`semiseg train DATA --method css --anchors 128` sets one of them. In `semiseg compare`, the flag
names the method: `--css.anchors 128`. [Methods](methods.md) explains what the methods do.

A variant such as `css-paper` is the same method with other values. The tables show what it changes.
"""


def values(hint: object) -> str:
    """The allowed values of a type in words."""
    text = describe(hint).replace(" or auto", "")
    # Where `none` is a name of its own, as in `--class-balance none`, it is a value to choose.
    return text.replace(" or none", "") if type(None) in options(hint) else text


def required(default: object) -> bool:
    """Whether a setting has no default."""
    return default is dataclasses.MISSING


def default_of(group: object, field: dataclasses.Field[object]) -> object:
    """The default of a field, in a class or in an object."""
    default = getattr(group, field.name, dataclasses.MISSING)
    return dataclasses.MISSING if inspect.ismemberdescriptor(default) else default


def shown(default: object) -> str:
    """A default as code, or in words."""
    if default is None:
        return "none"
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, tuple) and not default:
        return "none"
    return f"`{default_text(default)}`"


def usage_of(name: str, hint: object) -> str:
    """A flag with what stands for its value, such as `--out PATH`."""
    return flag(name) if hint is bool else f"{flag(name)} {metavar(hint)}"


def limited(hint: object) -> bool:
    """Whether only some values of a type are allowed."""
    kinds = [o for o in options(hint) if get_origin(o) in (Annotated, Literal) and o != PlaceName]
    return any(get_args(kind) != (AUTO,) for kind in kinds)


def text_of(text: str) -> str:
    """A text in one line."""
    return " ".join(text.split())


def remark_of(field: dataclasses.Field[object], default: object) -> str:
    """What stands behind a flag in parentheses, with a space before it; it may be empty."""
    if not field.kw_only:
        return "" if required(default) else " (may be left out)"
    if required(default):
        return " (required)"
    if default is True:
        return f" (default: on; `{flag(field.name).replace('--', '--no-')}` turns it off)"
    if default is None or default is False or default == ():
        return ""
    return f" (default: {shown(default)})"


def flags(section: Section) -> Iterator[str]:
    """An entry for each flag of a section that the help shows."""
    texts, types = help_texts(section.kind), hints(section.kind)
    for field in fields(section):
        default, hint = default_of(section.settings, field), types[field.name]
        term = usage_of(field.name, hint) if field.kw_only else field.name.upper()
        allowed = f" Allowed: {values(hint)}." if limited(hint) else ""
        text = text_of(texts[field.name])
        yield f"- **`{term}`**{remark_of(field, default)}: {text}{allowed}"


def fields(section: Section) -> list[dataclasses.Field[object]]:
    """The fields of a section that the help shows."""
    shown_fields, omitted = section.shown, section.omitted
    return [
        field
        for field in dataclasses.fields(section.kind)
        if field.name not in omitted and (shown_fields is None or field.name in shown_fields)
    ]


def by_title(sections: Iterable[Section]) -> dict[str, list[Section]]:
    """The sections below each title."""
    titles: dict[str, list[Section]] = {}
    for section in sections:
        titles.setdefault(section.title, []).append(section)
    return titles


def usage(name: str, sections: Iterable[Section]) -> str:
    """How the words of a command follow one another."""
    words, needed = ["semiseg", name], []
    for section in sections:
        for field in fields(section):
            default, hint = default_of(section.settings, field), hints(section.kind)[field.name]
            if not field.kw_only:
                is_list = get_origin(hint) is tuple
                term = field.name.upper() + " ..." * is_list
                words.append(term if required(default) else f"[{term}]")
            elif required(default):
                needed.append(usage_of(field.name, hint))
    return " ".join([*words, *needed, "[FLAGS]"])


def command_page(name: str, verb: Verb, notes: Notes) -> str:
    """The page of a command."""
    sections = [s for s in verb.sections([name]) if s.shown != ()]
    parts = [f"# semiseg {name}", MARK, f"{verb.summary} Guide: {notes.guide}."]
    python = f"In Python, it is [`semiseg.{name}`](../reference.md)."
    parts += [f"```text\n{usage(name, sections)}\n```", python, "## Examples"]
    for sentence, line in notes.examples.items():
        parts += [sentence, f"```bash\n{line}\n```"]
    for title, own in by_title(sections).items():
        entries = [entry for section in own for entry in flags(section)]
        if entries:
            parts += [f"## {title}", "\n".join(entries)]
    if name in TRAINING:
        parts.append(
            f"`semiseg {name} --help-all` lists all settings, and `--method NAME --help` those of "
            "a method. [Settings of a training](../settings.md) and [settings of the methods]"
            "(../method-settings.md) describe them."
        )
    if name == "compare":
        parts.append(
            "The [settings of a training](../settings.md) apply to all runs, and "
            "`--METHOD.SETTING` to one method: `--css.anchors 128`."
        )
    if notes.files:
        rows = [[file, text] for file, text in notes.files.items()]
        parts += ["## Files that it writes", table(["file", "content"], rows)]
    if notes.status:
        rows = [[f"{number}", text] for number, text in sorted(notes.status.items())]
        other = "[Other statuses](index.md#exit-status) are those of all commands."
        parts += ["## Exit status", table(["status", "meaning"], rows), other]
    return "\n\n".join(parts) + "\n"


def commands_index() -> str:
    """The list of the commands."""
    rows = [[f"[`{name}`]({name}.md)", verb.summary] for name, verb in VERBS.items()]
    statuses = [[str(number), text] for number, text in STATUSES.items()]
    page = COMMANDS.format(
        mark=MARK,
        rows=table(["command", "what it does"], rows),
        statuses=table(["status", "meaning"], statuses),
    )
    names = "\n".join(VERBS)
    return f"{page}\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"


def setting(group: object, field: dataclasses.Field[object]) -> str:
    """The entry of a setting on the page of all settings."""
    kind = group if isinstance(group, type) else type(group)
    hint, default = hints(kind)[field.name], default_of(group, field)
    default_words = "required" if required(default) else f"default: {shown(default)}"
    facts = f"`{usage_of(field.name, hint)}` · {values(hint)} · {default_words}"
    return f"### `{field.name}`\n\n{facts}\n\n{text_of(help_texts(kind)[field.name])}"


def settings_page() -> str:
    """The page of the settings of every training."""
    choice = MethodChoice()
    (method,) = dataclasses.fields(MethodChoice)
    common = []
    for name in COMMON:
        if name == "teacher":
            place, default, text = "method-settings.md#distill", None, "the model to learn from"
        elif name == "method":
            place, default, text = "#method", AUTO, "how the training learns"
        else:
            place, text = f"#{name}", SHORT[name]
            group = GROUPS[group_of()[name]]
            default = default_of(
                group, next(f for f in dataclasses.fields(group) if f.name == name)
            )
        common.append([f"[`{flag(name)}`]({place})", text, shown(default)])
    parts = [
        SETTINGS.format(
            mark=MARK, common=table(["flag", "what it sets", "default"], common)
        ).rstrip(),
        "## Method: `TrainConfig`",
        setting(choice, method),
    ]
    for name, group in GROUPS.items():
        parts.append(f"## {TITLES[name]}: `{group.__name__}`")
        parts.append(text_of(inspect.getdoc(group) or ""))
        parts += [setting(group, field) for field in dataclasses.fields(group)]
    return "\n\n".join(parts) + "\n"


SHORT = {
    "dataset": "the published data set, if semiseg does not recognize it",
    "labels": "how many masks, or which ones, the training uses",
    "steps": "the number of optimizer steps",
    "budget": "the time for the whole training",
    "seed": "the seed of the random draws",
    "batch": "the number of labeled images in a step",
    "size": "the short side of the images in pixels",
    "encoder": "the encoder",
    "start_from": "a finished run to go on from",
    "accelerator": "CPU, GPU or MPS",
    "out": "the run folder",
}
"""A few words on each common setting, for the table."""


def base_of(name: str) -> str:
    """The method of which a name is a variant; the name itself if it is none."""
    own = METHODS[name]
    if type(own)() == own:
        return name
    plain = [n for n, s in METHODS.items() if type(s)() == s and isinstance(own, type(s))]
    return max(plain, key=lambda n: len(type(METHODS[n]).__mro__))


def variants(base: str) -> str:
    """What the variants of a method change, as a table; empty without variants."""
    others = {n: s.changes(METHODS[base]) for n, s in METHODS.items() if base_of(n) == base != n}
    names = [n for n in METHODS[base].values() if any(n in c for c in others.values())]
    if not others:
        return ""
    head = ["setting", f"`{base}`", *(f"`{n}`" for n in others)]
    rows = []
    for name in names:
        cells = [shown(METHODS[n].values()[name]) for n in (base, *others)]
        rows.append([f"`{flag(name)}`", *cells])
    return table(head, rows)


def method_settings_page() -> str:
    """The page of the settings that a method has for itself."""
    parts = [METHOD_SETTINGS.format(mark=MARK).rstrip()]
    for name, settings in METHODS.items():
        if base_of(name) != name:
            continue
        parts.append(f"## `{name}`")
        entries = list(flags(Section("", settings)))
        parts.append("\n".join(entries) if entries else "It has no settings of its own.")
        if rows := variants(name):
            parts.append(rows)
    return "\n\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """The text of each page, by its file."""
    assert set(VERBS) == set(NOTES), "docs/command_notes.py needs an entry for each command"
    written = {Path("commands", f"{n}.md"): command_page(n, v, NOTES[n]) for n, v in VERBS.items()}
    return {
        Path("commands", "index.md"): commands_index(),
        **written,
        Path("settings.md"): settings_page(),
        Path("method-settings.md"): method_settings_page(),
        Path("published.md"): published_page(MARK),
    }


if __name__ == "__main__":
    for file, text in pages().items():
        (DOCS / file).parent.mkdir(exist_ok=True)
        (DOCS / file).write_text(text, encoding="utf-8")
