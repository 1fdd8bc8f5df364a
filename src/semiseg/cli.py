"""The command line: the public functions, their parameters as flags, their docstrings as help."""

from __future__ import annotations

import difflib
import inspect
import json
import os
import re
import sys
from argparse import Action
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args, get_origin

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from semiseg import __version__
from semiseg.commands.check import check
from semiseg.commands.compare import compare
from semiseg.commands.demo import demo
from semiseg.commands.download import download
from semiseg.commands.dry_run import dry_run
from semiseg.commands.evaluate import evaluate
from semiseg.commands.export import export
from semiseg.commands.plan import plan
from semiseg.commands.predict import predict
from semiseg.commands.split import split
from semiseg.commands.train import train
from semiseg.config.methods import METHODS, default_settings
from semiseg.config.recipes import names, recipe
from semiseg.config.settings import help_texts, hints
from semiseg.core.errors import ConfigError, Interrupted, SemisegError, nearest
from semiseg.core.text import plural
from semiseg.reporting.report import report
from semiseg.suggestion.suggest import next_steps, suggest
from semiseg.training.tables import closing, print_plan, score_table, suggestion_table

COMMANDS: dict[str, Callable[..., Any]] = {
    "check": check,
    "plan": plan,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "compare": compare,
    "report": report,
    "suggest": suggest,
    "export": export,
    "demo": demo,
    "split": split,
    "download": download,
}

_OF_A_METHOD = ("plan", "train")
"""Commands with the settings of a method, a configuration and recipes."""

_MANY = 20  # settings of a command, whose help has sections


_SECTIONS = {
    "data": ("dataset", "labels", "split_seed", "classes", "range"),
    "length and images": (
        *("steps", "budget", "seed", "size", "crop", "scale", "photometry", "batch", "accumulate"),
    ),
    "network": (
        *("encoder", "decoder", "heads", "output_stride", "atrous_rates", "weights", "init"),
    ),
    "optimizer": ("optimizer", "lr", "encoder_lr", "weight_decay", "lr_warmup"),
    "classes of unequal size": ("class_weights", "ohem", "dice", "rare_crops"),
    "validation": ("looks", "diagnostics"),
    "machine": (*("workers", "threads", "accelerator", "devices", "num_nodes", "precision"),),
    "run folder": ("out", "overwrite", "resume"),
}
"""The settings of `train` by what they are about, as its help shows them."""


class _Help(DefaultHelpFormatter):
    """Flags with dashes, as people type them; those of a training in sections."""

    def format_help(self) -> str:
        return re.sub(r"--[\w.]+", lambda flag: flag[0].replace("_", "-"), super().format_help())

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        """What must be given; the settings are told below."""
        given = [a for a in actions if a.required]
        words = [" ".join((*a.option_strings, str(a.metavar or a.dest.upper()))) for a in given]
        # jsonargparse calls a command `semiseg [options] train`.
        own = self._prog.replace("[options] ", "")
        # Asked for without actions, to name the commands, it is the program alone.
        settings = ["[settings]"] if actions else []
        super().add_usage(" ".join((own, *words, *settings)), (), groups, prefix)

    def add_arguments(self, actions: Iterable[Action]) -> None:
        rest = list(actions)
        parts = {t: [a for a in rest if a.dest in names] for t, names in _SECTIONS.items()}
        # Other commands have a few of the same names, too few for sections.
        parts = {t: part for t, part in parts.items() if len(rest) > _MANY}
        super().add_arguments([a for a in rest if not any(a in p for p in parts.values())])
        for title, part in parts.items():
            self.start_section(title)
            super().add_arguments(part)
            self.end_section()

    def _get_default_metavar_for_positional(self, action: Action) -> str:
        return action.dest.upper()

    def _get_help_string(self, action: Action) -> str:
        """The text and the default: no Python types, and no default where the text tells it."""
        text = super()._get_help_string(action)
        text = re.sub(r"(, )?type: %\(type\)s(, )?", "", text)
        if action.default is None:
            text = text.replace("default: %(default)s", "")
        return text.removesuffix(" ()")


class _Parser(ArgumentParser):
    """A parser whose errors are one sentence with the nearest known name, without the usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        told = re.sub(r"<class '(\w+)'>", r"\1", " ".join(message.split()))
        told = re.sub(r"typing\.Literal\[(.*?)\]", r"one of \1", told)
        told = told.replace("tuple with 2 elements", "two values with a comma, such as 0.5,2")
        told = told.replace("Expected a ", "expected ").replace("Got value: ", "got ")
        # A setting that may also be left out: the first of the two types is the one to name.
        told = re.sub(r"Does not .*?Errors: - (.*?) - .*Given value: ", r"\1. got ", told)
        raise ConfigError(re.sub(r"(required: )\w+\.", r"\1", told)) from ex


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; user errors are one sentence on stderr and exit status 2.

    Args:
        arguments: without the program's name; those of the process if not given.
    """
    words = _spelled_out(list(sys.argv[1:] if arguments is None else arguments))
    try:
        words = _with_recipe(words)
        parser = _parser(words)
        values = _parsed(parser, words)
        command = values["subcommand"]
        try:
            _run(command, values[command])
        finally:
            sys.stdout.flush()  # here, where a reader that has gone is taken care of
    except Interrupted as told:
        print(f"semiseg: {told}", file=sys.stderr)
        sys.exit(told.status)
    except SemisegError as error:
        print(f"semiseg: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("semiseg: interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `semiseg check DATA | head`: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _parsed(parser: ArgumentParser, words: list[str]) -> dict[str, Any]:
    """The values of the words.

    Raises:
        ConfigError: a command, a flag, a key of the configuration or a value is not known.
    """
    try:
        return dict(parser.parse_args(words).as_dict())
    except ConfigError as error:
        told = str(error)
    command = words[0] if words else ""
    if command not in COMMANDS:
        what = f"There is no command '{command}'" if command else "A command is missing"
        raise ConfigError(f"{what}. {nearest(command, COMMANDS)} See: semiseg --help")
    ending = f"See: semiseg {command} --help"
    strange = re.search(
        r"unrecognized arguments: --([\w.]+)|option '([\w.]+)'", told, re.IGNORECASE
    )
    if strange:
        name = (strange[1] or strange[2]).replace("-", "_")
        if name in _places(command):
            usage = " ".join((command, *map(str.upper, _places(command))))
            raise ConfigError(f"{name.upper()} is told by its place, without --: semiseg {usage}")
        close = difflib.get_close_matches(name, _known(command, words), n=1)
        hint = f"Did you mean --{_dashed(close[0])}? " if close else ""
        raise ConfigError(f"There is no setting --{_dashed(name)}. {hint}{ending}")
    if missing := re.search(r"arguments are required: (.*?)\.?$", told):
        places = _places(command)
        # jsonargparse puts the command before some of them.
        plain = [name.removeprefix(f"{command}.") for name in missing[1].split(", ")]
        names = [n.upper() if n in places else f"--{_dashed(n)}" for n in plain]
        raise ConfigError(f"What is missing is {' and '.join(names)}. {ending}")
    value = re.search(r'Parser key "([\w.]+)": (.*)', told)
    if value:
        raise ConfigError(f"--{_dashed(value[1])}: {value[2]}. {ending}")
    raise ConfigError(f"{told}. {ending}")


def _places(command: str) -> list[str]:
    """What a command is told by its place, without a flag."""
    every = _parameters(command).values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in every if p.kind in kinds and p.default is inspect.Parameter.empty]


def _known(command: str, words: Sequence[str]) -> list[str]:
    """The names of a command's settings."""
    names = list(_parameters(command))
    if command in _OF_A_METHOD:
        names += default_settings(_method_name(words)).values()
    elif command == "compare":
        for key, method in _compared(words).items():
            names += [f"{key}.{name}" for name in default_settings(method).values()]
    return names


def _parameters(command: str) -> dict[str, inspect.Parameter]:
    """The parameters of a command's function; some pass those of `train` on."""
    own = dict(inspect.signature(COMMANDS[command]).parameters)
    if command not in ("plan", "compare"):
        return own
    from semiseg.comparison.settings import OWN

    kept = OWN if command == "compare" else {"overwrite", "resume", "options"}
    passed = inspect.signature(train).parameters
    return {**{name: p for name, p in passed.items() if name not in kept}, **own}


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _run(command: str, values: dict[str, Any]) -> None:
    """Call the function and print what it found."""
    as_json = values.pop("json", False)
    for name in ("config", "recipe"):
        values.pop(name, None)
    if values.pop("dry_run", False):
        print(dry_run(**values).text())
        return
    result = COMMANDS[command](**values)
    if command == "check":
        print(json.dumps(result.to_dict(), indent=2) if as_json else result.text())
        sys.exit(0 if result.ok else 1)
    elif command == "evaluate":
        print(json.dumps(result, indent=2) if as_json else score_table(result))
    elif command == "plan":
        print_plan(result)
    elif command == "train":
        page = result.folder / "report.html"
        print(f"{result.folder}: {closing(result.scores)}" + f"; see {page}" * page.is_file())
    elif command == "split":
        counts = ", ".join(f"{count} {name}" for name, count in result.items())
        print(f"{values['out']}: {counts}")
    elif command == "download":
        print(f"{result}: semiseg check {result}")
    elif command == "predict":
        print(f"{plural(len(result), 'mask')} written to {values['out']}")
    elif command == "report":
        print(result)
    elif command == "compare":
        print(f"{result.text()}\n\nwritten to {result.folder}/comparison.md, .csv, .json, .png")
        for name, told in result.failed.items():
            print(f"semiseg: {name} failed: {told}", file=sys.stderr)
        sys.exit(2 if result.failed else 0)
    elif command == "suggest":
        print(suggestion_table(result))
        moved = values["data"] and Path(values["data"])
        print(next_steps(Path(values["run"]), Path(values["out"]), moved))
    elif command == "export":
        ties = f", {result.ties} ties fell otherwise" if result.ties else ", no label changed"
        told = f"largest difference {result.difference:.1e} on {result.image}{ties}"
        print(f"{result.path}: {told}")


def _parser(words: Sequence[str]) -> ArgumentParser:
    """The parser; the method's own settings are added once its name is known."""
    parser = _Parser(
        prog="semiseg",
        description="A segmentation model from a few labeled and many unlabeled images.",
        version=__version__,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    commands = parser.add_subcommands(required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        text = (function.__doc__ or "").partition("\n")[0]
        sub = _Parser(description=text, formatter_class=_Help, allow_abbrev=False)
        if name in _OF_A_METHOD:
            sub.add_argument("--config", action="config", help="settings from a YAML file")
            sub.add_argument("--recipe", help=f"defaults under a name: {', '.join(names())}")
        if name == "train":
            sub.add_argument(
                "--dry_run", action="store_true", help="build all, take a small step, extrapolate"
            )
        if name == "plan":
            # Of what it takes all but the data are settings of `train`.
            sub.add_function_arguments(
                train, skip={"options", "overwrite", "resume"}, as_positional=True
            )
        else:
            sub.add_function_arguments(function, skip={"options"}, as_positional=True)
        if name in ("check", "evaluate"):
            sub.add_argument("--json", action="store_true", help="print what was found as JSON")
        if name in _OF_A_METHOD and words[:1] == [name]:
            _add_own(sub, _method_name(words))
        if name == "compare" and words[:1] == ["compare"]:
            _add_shared(sub, words)
        commands.add_subcommand(name, sub, help=text)
    return parser


def _with_recipe(words: list[str]) -> list[str]:
    """The words with the settings of their recipe before them, so that they prevail."""
    if (
        not words
        or words[0] not in _OF_A_METHOD
        or not (name := _flag_value(words, "--recipe", ""))
    ):
        return words
    method = _method_name(words, default="") or None
    settings = recipe(name, method)
    if _flag_value(words, "--budget", ""):
        settings.pop("steps", None)  # the budget decides on them
    flags = [f"--{k}={json.dumps(v)}" for k, v in settings.items()]
    return [words[0], *(flag.replace('"', "") for flag in flags), *words[1:]]


def _add_shared(parser: ArgumentParser, words: Sequence[str]) -> None:
    """Add what a comparison passes on: the settings of `train`, and of each method by its name."""
    from semiseg.comparison.settings import OWN

    parser.add_function_arguments(train, skip={*OWN, "steps"})
    for key, method in _compared(words).items():
        _add_own(parser, method, key)


def _add_own(parser: ArgumentParser, method: str, key: str | None = None) -> None:
    """Add the settings of a method in a group of their own."""
    settings = default_settings(method)
    if not settings.values():
        return
    group = parser.add_argument_group(f"of {method} itself, rarely needed")
    kind: type = type(settings)
    texts = help_texts(kind)
    for name, hint in hints(kind).items():
        group.add_argument(
            f"--{key}.{name}" if key else f"--{name}",
            type=get_args(hint)[0] if get_origin(hint) is Annotated else hint,
            default=getattr(settings, name),
            help=texts[name],
        )


def _compared(words: Sequence[str]) -> dict[str, str]:
    """The methods that a comparison names, by the start of their flags."""
    default = inspect.signature(compare).parameters["methods"].default
    named = [name.strip() for name in _flag_value(words, "--methods", default).split(",")]
    return {name.replace("-", "_"): name for name in named if name in METHODS}


def _flag_value(words: Sequence[str], flag: str, default: str) -> str:
    """The last value that the words give to a flag."""
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == flag:
            default = value if equals else "".join(words[i + 1 : i + 2])
    return default


def _method_name(words: Sequence[str], default: str = "css") -> str:
    """The method that the words, or the configuration file they name, ask for."""
    from semiseg.core.files import read_yaml

    name = default
    for i, word in enumerate(words):
        flag, equals, value = word.partition("=")
        value = value if equals else "".join(words[i + 1 : i + 2])
        if flag == "--method":
            name = value
        elif flag == "--config" and Path(value).is_file():
            try:
                content = read_yaml(Path(value))
            except (OSError, ValueError) as error:
                raise ConfigError(f"{value} cannot be read as YAML ({error}).") from error
            if isinstance(content, dict):
                name = str(content.get("method", name))
    return name


def _spelled_out(words: list[str]) -> list[str]:
    """The words as the parser takes them.

    `--split-seed` becomes `--split_seed`, `-n` `--n`, a switch `--overlay` `--overlay=true`, and
    the two values of `--range 0,4095` get their brackets.
    """
    parameters = _parameters(words[0]) if words and words[0] in COMMANDS else {}
    result = []
    for i, word in enumerate(words):
        if word[:1] == "-" and word[1:] in parameters:
            word = f"-{word}"
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            name = flag[2:].replace("-", "_")
            kind = parameters[name].annotation if name in parameters else ""
            switch = kind == "bool"
            if kind.startswith("tuple") and i + 1 < len(words) and not equals:
                words[i + 1] = f"[{words[i + 1].strip('[]()')}]"
            if switch and not equals and words[i + 1 : i + 2] not in (["true"], ["false"]):
                equals, value = "=", "true"
            word = f"--{name}{equals}{value}"
        result.append(word)
    return result
