"""Declare the arguments of a command once, as a frozen dataclass whose fields are its flags.

    @dataclass(frozen=True, kw_only=True)
    class Arguments:
        cohort: Path = argument(Path("cohort.json"), "cohort file")
        workers: int | None = argument(None, "subjects fitted at the same time", type=whole_number, metavar="N")
        figures: bool = argument(True, "write no figures", flag="--no_figures")

    arguments = parse(Arguments, __doc__)

The annotation of a field decides how its value is parsed: ``int``, ``float``, ``str`` or ``Path``, each also as
``| None`` or ``tuple[..., ...]`` (one or more values), and ``bool`` (a switch that inverts its default). Flags that
several commands share are fields of a base dataclass.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

_KEY = "argument"


class ArgumentError(ValueError):
    """Flags that contradict each other; raised by ``__post_init__`` of an arguments class, reported by ``parse``."""


@dataclass(frozen=True)
class _Argument:
    help: str
    flag: str | None
    aliases: tuple[str, ...]
    options: Mapping[str, Any]


def argument(
    default: Any = MISSING, help: str = "", *, flag: str | None = None, aliases: Sequence[str] = (), **options: Any
) -> Any:
    """Return a dataclass field that is a flag.

    Args:
        default: the value if the flag is not given; without a default the flag is required.
        help: the text in ``--help``; the default is appended.
        flag: the flag's spelling; ``--<field name>`` if None; the field's name for a positional argument.
        aliases: further spellings of the flag.
        options: passed to ``argparse.ArgumentParser.add_argument``: ``type``, ``choices``, ``metavar``, ``nargs``,
            ``const``, ``action``.
    """
    return field(default=default, metadata={_KEY: _Argument(help, flag, tuple(aliases), options)})


SomeArguments = TypeVar("SomeArguments")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others are, in place of a page of flags."""

    def error(self, message: str) -> typing.NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (--help lists all flags)\n")


def parse(
    arguments: type[SomeArguments],
    about: str,
    argv: Sequence[str] | None = None,
    *,
    prog: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> SomeArguments:
    """Parse a command line into its dataclass; an invalid one ends the program with exit code 2.

    Args:
        arguments: the dataclass; fields not made by ``argument`` keep their defaults.
        about: the script's docstring: an example command, an empty line, a description.
        argv: the command line; ``sys.argv`` if None.
        prog: the command's name if it is not the script's.
        defaults: by field name, in place of the fields' own defaults, e.g. for ``--quick`` of a benchmark.
    """
    parser = parser_of(arguments, about, prog=prog, defaults=defaults)
    try:
        return arguments(**{**(defaults or {}), **parse_given(parser, argv)})
    except ArgumentError as error:
        parser.error(str(error))


def select_fields(arguments: Any, kind: type[SomeArguments]) -> SomeArguments:
    """Return the fields that a base class declares, as an object of that class."""
    return kind(**{each.name: getattr(arguments, each.name) for each in fields(kind)})  # type: ignore[arg-type]


def parser_of(
    arguments: type, about: str, *, prog: str | None = None, defaults: Mapping[str, Any] | None = None
) -> argparse.ArgumentParser:
    """Return the argparse parser of an arguments dataclass; its namespace holds only the flags that are given."""
    example, _, description = about.partition("\n\n")
    parser = _Parser(
        prog=prog,
        description=description.strip() or example,
        epilog=f"example: {example}" if description else None,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter if "\n * " in about else argparse.HelpFormatter,
    )
    add_flags(parser, arguments, defaults)
    return parser


def add_flags(parser: argparse.ArgumentParser, arguments: type, defaults: Mapping[str, Any] | None = None) -> None:
    """Add the flags of an arguments dataclass to a parser."""
    hints = typing.get_type_hints(arguments)
    for each in fields(arguments):
        if _KEY in each.metadata:
            _add(parser, each, hints[each.name], (defaults or {}).get(each.name, each.default))


def parse_given(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the values of the given flags by field name."""
    given = vars(parser.parse_args(argv))
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def flag_values(arguments: Any) -> dict[str, Any]:
    """Return the value of each flag by its spelling without dashes, as plain data to be saved with the results."""
    values = {}
    for each in fields(arguments):
        if (about := each.metadata.get(_KEY)) is not None:
            value = getattr(arguments, each.name)
            if about.options.get("action") == "store_const":
                value = value == about.options["const"]
            elif each.default is True:
                value = not value
            values[_flag_name(each)] = str(value) if isinstance(value, Path) else value
    return values


def fields_by_flag(arguments: Any) -> dict[str, str]:
    """Return the name of the field of each flag, by the flag's spelling without dashes."""
    return {_flag_name(each): each.name for each in fields(arguments) if _KEY in each.metadata}


def _flag_name(argument: Field[Any]) -> str:
    return (argument.metadata[_KEY].flag or argument.name).removeprefix("--")


def flag_words(argument: Field[Any], value: Any) -> str:
    """Return a flag and its value as they are typed, for a field made by ``argument`` that is no switch."""
    return f"{argument.metadata[_KEY].flag or f'--{argument.name}'} {_format_value(value)}"


def command_of(argv: Sequence[str] | None = None, *, prog: str | None = None) -> str:
    """Return the command line as typed in a shell, to be saved with the results."""
    return f"{prog or Path(sys.argv[0]).name} {shlex.join(sys.argv[1:] if argv is None else argv)}"


def _add(parser: argparse.ArgumentParser, each: Field[Any], hint: Any, default: Any) -> None:
    about: _Argument = each.metadata[_KEY]
    options = dict(about.options)
    kind, several = _kind(hint)
    if kind is bool:
        options.setdefault("action", "store_false" if each.default is True else "store_true")
    elif "action" not in options or options["action"] == "append":
        options.setdefault("type", kind)
        if several and "action" not in options:
            options.setdefault("nargs", "+")
    help = about.help
    shown = default not in (None, MISSING, ()) and options.get("action") != "store_const" and "default" not in help
    if kind is not bool and shown:
        help += f" (default {_format_value(default)})"
    flag = about.flag or f"--{each.name}"
    if flag.startswith("-"):
        options |= {"dest": each.name, "required": default is MISSING}
    parser.add_argument(flag, *about.aliases, help=help.replace("%", "%%"), **options)


def _kind(hint: Any) -> tuple[Any, bool]:
    """Return the type of one value, and whether the flag takes several values."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is tuple:
        return _kind(typing.get_args(hint)[0])[0], True
    if typing.get_origin(hint) is typing.Literal:
        return str, False
    return hint, False


def _format_value(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_format_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def whole_number(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def positive_number(text: str) -> float:
    """Parse a finite number above 0."""
    number = number_or_nan(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return number


def bounded(low: float, high: float, needed: str, read: Callable[[str], Any] = float) -> Callable[[str], Any]:
    """Return a parser of numbers from ``low`` to ``high``; its error says that the value must be ``needed``."""

    def number(text: str) -> Any:
        try:
            value = read(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {needed}, not {text!r}")
        return value

    return number


def result_folder(text: str) -> Path:
    """Parse the path of a results folder, which must not be empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; name a folder for the results")
    return Path(text)


def number_or_nan(text: str) -> float:
    """Parse a number; return NaN for text that is not one."""
    try:
        return float(text)
    except ValueError:
        return math.nan
