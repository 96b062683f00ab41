"""Declare the arguments of a command once, as a frozen dataclass; its fields are its flags.

    @dataclass(frozen=True, kw_only=True)
    class Arguments:
        cohort: Path = argument(Path("cohort.json"), "cohort file")
        workers: int | None = argument(None, "subjects fitted at a time", type=whole_number, metavar="N")
        pictures: bool = argument(True, "write no pictures", flag="--no_pictures")

    arguments = parse(Arguments, __doc__)

A field's annotation decides how its word is read: ``int``, ``float``, ``str``, ``Path``, each also ``| None`` or as
``tuple[..., ...]`` (one word or more), and ``bool`` (a switch that inverts its default). Flags that several commands
share stand in a dataclass of their own, from which theirs inherit.
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
    """Flags that contradict one another; ``__post_init__`` of an arguments class raises it, ``parse`` shows it."""


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
        default: its value where the command line does not name it; without one the flag is required.
        help: what ``--help`` says; the default is added to it.
        flag: ``--name`` of the field if None.
        aliases: further spellings.
        options: of ``argparse.ArgumentParser.add_argument``: ``type``, ``choices``, ``metavar``, ``nargs``, ``const``,
            ``action``.
    """
    return field(default=default, metadata={_KEY: _Argument(help, flag, tuple(aliases), options)})


SomeArguments = TypeVar("SomeArguments")


def parse(
    arguments: type[SomeArguments],
    about: str,
    words: Sequence[str] | None = None,
    *,
    prog: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> SomeArguments:
    """Read a command line into its dataclass; argparse ends the program with code 2 where it makes no sense.

    Args:
        arguments: the dataclass; fields that ``argument`` did not make keep their defaults.
        about: the script's docstring: first a command that runs, then, after an empty line, what it does.
        words: in place of ``sys.argv``.
        prog: the command's name, where it is not the script's.
        defaults: in place of the fields' own, as ``--quick`` of a benchmark has them.
    """
    parser = parser_of(arguments, about, prog=prog)
    named = vars(parser.parse_args(words))
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in named.items()}
    try:
        return arguments(**{**(defaults or {}), **given})
    except ArgumentError as error:
        parser.error(str(error))


def parser_of(arguments: type, about: str, *, prog: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of a dataclass of arguments; flags that are not named are absent from what it reads."""
    example, _, description = about.partition("\n\n")
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description.strip() or example,
        epilog=f"example: {example}" if description else None,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    hints = typing.get_type_hints(arguments)
    for each in fields(arguments):
        if _KEY in each.metadata:
            _add(parser, each, hints[each.name])
    return parser


def command_of(words: Sequence[str] | None = None, *, prog: str | None = None) -> str:
    """Return the command as a person types it, to be kept with its results."""
    return shlex.join([prog or Path(sys.argv[0]).name, *(sys.argv[1:] if words is None else words)])


def _add(parser: argparse.ArgumentParser, each: Field[Any], hint: Any) -> None:
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
    if kind is not bool and each.default not in (None, MISSING, ()) and "default" not in help:
        help += f" (default {_word(each.default)})"
    parser.add_argument(
        about.flag or f"--{each.name}", *about.aliases, dest=each.name, required=each.default is MISSING,
        help=help.replace("%", "%%"), **options,
    )  # fmt: skip


def _kind(hint: Any) -> tuple[Any, bool]:
    """The type of one word, and whether there may be several."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is tuple:
        return _kind(typing.get_args(hint)[0])[0], True
    if typing.get_origin(hint) is typing.Literal:
        return str, False
    return hint, False


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_word, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def whole_number(word: str) -> int:
    """Read a whole number from 1 on."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is needed, not {word!r}")
    return int(word)


def positive_number(word: str) -> float:
    """Read a finite number above 0."""
    number = _number_or_nan(word)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0 is needed, not {word!r}")
    return number


def bounded(low: float, high: float, needed: str, read: Callable[[str], Any] = float) -> Callable[[str], Any]:
    """Return a reader of numbers from ``low`` to ``high``; the error says that ``needed`` is needed."""

    def number(word: str) -> Any:
        try:
            value = read(word)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{needed} is needed, not {word!r}")
        return value

    return number


def result_folder(word: str) -> Path:
    """Read the name of a folder for results, which may not be empty."""
    if not word.strip():
        raise argparse.ArgumentTypeError("is empty; name a folder for the results")
    return Path(word)


def _number_or_nan(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan
