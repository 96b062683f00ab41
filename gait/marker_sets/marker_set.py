"""Read a marker set from its data file, and merge the markers of several sets."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from gait.errors import GaitError
from gait.marker_sets.skin_regions import SKIN_REGIONS

MarkerKind = Literal["anatomical", "technical", "joint_centre"]
"""Anatomical markers are placed on a bony landmark, technical markers anywhere along their segment. A joint centre is
no marker on the skin but an estimate of a joint, as cameras without markers give it."""

HEIGHT_GROUPS = ("head", "shoulder", "pelvis", "knee", "ankle")
"""Groups of paired markers, which follow each other from top to bottom and show left and right."""

GROUPS = (*HEIGHT_GROUPS, "upper_trunk", "lower_trunk", "foot")

SIDES = {"left": ("L", "LEFT"), "right": ("R", "RIGHT")}
_SIDED = re.compile(r"\{side\}|\{([^{}|]*)\|([^{}|]*)\}")  # "{side}" is short for "{L|R}"
_SEPARATORS = re.compile(r"[\s_.\-]+")
_DIRECTIONS = {
    "up": (0.0, 1.0, 0.0),
    "front": (0.0, 0.0, 1.0),
    "back": (0.0, 0.0, -1.0),
    "out": (1.0, 0.0, 0.0),
    "in": (-1.0, 0.0, 0.0),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "kind": get_args(MarkerKind),
    "group": ("", *GROUPS),
    "facing": ("", "front", "back"),
    "side": ("", *SIDES),
    "above": ("floor", "sole"),
}

T = TypeVar("T")


@dataclass(frozen=True)
class Ray:
    """The ray from inside the body in T-pose to the marker on its skin. Vectors are (own side, up, forward)."""

    start: str  # joint, or "<SIDE>_KNUCKLES" or "<SIDE>_TOES"
    direction: tuple[float, ...]  # (3,)
    skin: tuple[str, ...]  # joints; the ray may hit the skin that moves with them
    towards: str = ""  # joint; the start is moved towards it by ...
    fraction: float = 0.0  # ... this fraction of the distance
    lateral: float = 1.0  # factor on the distance of the start from the midline; 0 is the midline
    height: float | None = None  # of the start, as fraction of the stature; None keeps that of the joint
    above: str = "floor"  # "floor", or "sole": the lowest skin of the marker's own foot
    centred: bool = False  # move the start to the middle, front to back, of the skin of its joint at its height
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)  # (3,) added to the start, fractions of the stature
    offset_m: tuple[float, ...] = (0.0, 0.0, 0.0)  # (3,) added to the start, metres


@dataclass(frozen=True)
class Marker:
    """One marker."""

    name: str  # canonical name
    kind: MarkerKind
    aliases: tuple[str, ...] = ()  # other names, upper case, without separators, side first
    height: float | None = None  # on an upright body: 0 floor, 1 top of the head
    group: str = ""  # one of GROUPS, or ""
    facing: str = ""  # "front" or "back" of the markers of its group, or ""
    side: str = ""  # "left", "right", or "" on the midline
    contralateral: str = ""  # name of the marker of the other side, if there is one
    midpoint_of: tuple[str, ...] = ()  # two markers whose midpoint laboratories write under this name
    cluster: bool = False  # only its segment is known: its place is solved, and the ray gives a rough one
    solved_beside: str = ""  # a marker beside which the place of this one is solved from the recordings
    ray: Ray | None = None  # None: the marker is not placed on bodies
    joint: str = ""  # of a joint centre that estimates a joint; another estimated point has a ray
    described: tuple[str, ...] = ()  # sets of words (of ``gait.marker_sets.marker_words``) that mean it, for parsing


@dataclass(frozen=True)
class MarkerSet:
    """The markers of one data file."""

    title: str  # for messages
    path: Path
    markers: tuple[Marker, ...]  # defined in this file: unpaired, then left, then right ones
    recorded: tuple[
        str, ...
    ]  # canonical names of a complete recording, in its usual order; () if it is no set to record
    names: Mapping[str, str]  # its own names -> canonical names; they have this meaning only where the set is in use
    indicators: frozenset[str]  # keys (``name_key``) of own names that no other set uses with another meaning
    min_indicators: int  # the set is in use in a file with this many of its indicators

    def own_name(self, marker: str) -> str:
        """Return the name of a canonical marker in this set (the first, if it has several), or the canonical name."""
        return next((own for own, canonical in self.names.items() if canonical == marker), marker)


def name_key(name: str) -> str:
    """Return a marker name in upper case without separators, in which spellings of one name are equal."""
    return _SEPARATORS.sub("", name.upper())


def read_marker_set(path: Path) -> MarkerSet:
    """Read the data file of a marker set.

    Raises:
        GaitError: the file is not TOML, a field is missing, unknown or of another kind, or two markers share a name.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GaitError(f"{path}: the marker set cannot be read ({error}).") from error
    skin, entries, names = content.get("skin", {}), content.get("marker", []), content.get("names", {})
    if not isinstance(skin, dict) or not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise GaitError(f"{path}: a marker set needs a table [skin] and tables [[marker]].")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise GaitError(f"{path}: [names] must be a table of own names and the markers that they mean.")
    skin = SKIN_REGIONS | skin
    markers = [_marker(path, entry, skin, "") for entry in entries if "{side}" not in str(entry.get("name"))]
    for side in SIDES:
        markers += [_marker(path, entry, skin, side) for entry in entries if "{side}" in str(entry.get("name"))]
    own = [marker.name for marker in markers]
    if not (markers or names) or len(set(own)) < len(own) or not isinstance(content.get("title"), str):
        raise GaitError(f"{path}: a marker set needs a title and a list of markers with different names.")
    meanings = dict(_both_sides(names.items()))
    recorded = content.get("recorded", list(names) or own)
    indicators, min_indicators = content.get("indicators", []), content.get("min_indicators", 3)
    if not isinstance(recorded, list) or not isinstance(indicators, list) or not isinstance(min_indicators, int):
        raise GaitError(f"{path}: 'recorded' and 'indicators' must be lists of names, 'min_indicators' a number.")
    both = {key: [name for name, _ in _both_sides((each, "") for each in listed)] for key, listed in
            (("recorded", recorded), ("indicators", indicators))}  # fmt: skip
    for key, listed in both.items():
        if unknown := set(listed) - set(own) - set(meanings):
            raise GaitError(f"{path}: '{key}' names {', '.join(sorted(unknown))}, which are not in the set.")
    return MarkerSet(
        content["title"],
        path,
        tuple(markers),
        tuple(dict.fromkeys(meanings.get(name, name) for name in both["recorded"])),
        meanings,
        frozenset(name_key(name) for name in both["indicators"]),
        min_indicators,
    )


def merge_marker_sets(sets: Iterable[MarkerSet]) -> dict[str, Marker]:
    """Return the markers of all sets by name; a marker of several sets has the aliases of all.

    Raises:
        GaitError: two sets describe a marker differently, an alias belongs to two markers, or an own name means a
            marker that no set has.
    """
    sets = tuple(sets)
    merged: dict[str, Marker] = {}
    owner: dict[str, MarkerSet] = {}
    for each in sets:
        for marker in each.markers:
            known = merged.get(marker.name, marker)
            if replace(marker, aliases=()) != replace(known, aliases=()):
                files = f"{owner[marker.name].path.name} and {each.path.name}"
                raise GaitError(f"{files} describe the marker {marker.name} differently; rename one of them.")
            merged[marker.name] = replace(known, aliases=tuple(dict.fromkeys((*known.aliases, *marker.aliases))))
            owner.setdefault(marker.name, each)
    names: dict[str, str] = {}
    for marker in merged.values():
        for alias in marker.aliases:
            if (other := names.setdefault(alias, marker.name)) != marker.name and alias not in merged:
                files = " and ".join(dict.fromkeys(owner[name].path.name for name in (other, marker.name)))
                raise GaitError(f"{files}: {alias} is an alias of both {other} and {marker.name}; remove one.")
    for each in sets:
        for name, meant in each.names.items():
            if meant not in merged:
                raise GaitError(f"{each.path}: {name} = {meant}, but no marker set has a marker {meant}.")
    return merged


def _both_sides(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield each pair of texts, for the left and then for the right if ``{side}`` or ``{left|right}`` is in them."""
    pairs = list(pairs)
    for pair in pairs:
        if not _SIDED.search(pair[0]):
            yield pair
    for right in (False, True):
        for first, second in pairs:
            if _SIDED.search(first):
                yield _one_side(first, right), _one_side(second, right)


def _one_side(text: str, right: bool) -> str:
    def choose(match: re.Match[str]) -> str:
        return "LR"[right] if match[1] is None else match[1 + right]

    return _SIDED.sub(choose, text)


def _marker(path: Path, entry: Mapping[str, Any], skin: Mapping[str, Any], side: str) -> Marker:
    """Return a marker; ``side`` replaces ``{side}`` in a paired one, and begins its aliases."""
    where = f"{path}: marker {entry.get('name')}"
    letter, word = SIDES.get(side, ("", ""))

    def sided(text: str) -> str:
        return text.replace("{side}", word)

    values = dict(entry)
    template = str(values.get("name", ""))
    values["name"] = template.replace("{side}", letter)
    if values["name"] != values["name"].upper() or " " in values["name"]:
        raise GaitError(f"{where}: the name must be upper case without blanks.")
    if not isinstance(values.get("aliases", []), list):
        raise GaitError(f"{where}: aliases must be a list of names.")
    values["aliases"] = tuple(letter + alias for alias in values.get("aliases", ()))
    if "described" in values:
        if not isinstance(values["described"], list):
            raise GaitError(f"{where}: described must be a list of texts.")
        values["described"] = tuple(values["described"])
    if "solved_beside" in values:
        values["solved_beside"] = str(values["solved_beside"]).replace("{side}", letter)
    if values.get("joint"):
        values["joint"] = sided(str(values["joint"]))
    if values.get("joint") and values.get("kind") != "joint_centre":
        raise GaitError(f"{where}: only a marker of kind joint_centre has a joint.")
    if side:
        values["side"] = side
        other = "R" if letter == "L" else "L"
        values["contralateral"] = template.replace("{side}", other)
    if "midpoint_of" in values:
        values["midpoint_of"] = tuple(str(values["midpoint_of"]).replace("{side}", each) for each in "LR")
    if "ray" in values:
        ray = dict(values["ray"])
        ray |= {key: sided(str(ray.get(key, ""))) for key in ("start", "towards")}
        fraction = ray.get("fraction", 0.0)
        ray["fraction"] = fraction[side == "right"] if isinstance(fraction, list) else fraction
        ray["direction"] = _direction(where, ray.get("direction"))
        if unknown := [group for group in ray.get("skin", []) if group not in skin]:
            raise GaitError(f"{where}: [skin] has no {', '.join(unknown)}; it has {', '.join(skin)}.")
        ray["skin"] = tuple(sided(joint) for group in ray.get("skin", ()) for joint in skin[group])
        if ray.get("above") == "sole" and not side:
            raise GaitError(f"{where}: only a paired marker has a sole.")
        values["ray"] = _checked(Ray, where, ray)
    return _checked(Marker, where, values)


def _direction(where: str, value: Any) -> tuple[float, ...]:
    if isinstance(value, str) and value in _DIRECTIONS:
        return _DIRECTIONS[value]
    if isinstance(value, int | float):  # degrees from forward to the own side
        return float(np.sin(np.deg2rad(value))), 0.0, float(np.cos(np.deg2rad(value)))
    if isinstance(value, list):
        return tuple(value)
    raise GaitError(f"{where}: direction must be {', '.join(_DIRECTIONS)}, degrees, or three numbers.")


def _checked(kind: type[T], where: str, values: dict[str, Any]) -> T:
    """Return the dataclass of these values; raise GaitError if one is missing, unknown or not of its type."""
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := values.keys() - known:
        raise GaitError(f"{where}: unknown {', '.join(sorted(unknown))}; known: {', '.join(known)}.")
    missing = [name for name, field in known.items() if field.default is MISSING and not values.get(name)]
    if missing:
        raise GaitError(f"{where}: {', '.join(missing)} is missing.")
    for name, value in values.items():
        if name in _CHOICES and value not in _CHOICES[name]:
            raise GaitError(f"{where}: {name} must be one of {', '.join(filter(None, _CHOICES[name]))}, not {value!r}.")
        if name in ("cluster", "centred") and not isinstance(value, bool):
            raise GaitError(f"{where}: {name} must be true or false, not {value!r}.")
        if name in ("height", "fraction", "lateral") and not isinstance(value, int | float):
            raise GaitError(f"{where}: {name} must be a number, not {value!r}.")
        if isinstance(value, list):
            values[name] = value = tuple(value)
        if name in ("direction", "offset", "offset_m") and [type(part) in (int, float) for part in value] != [True] * 3:
            raise GaitError(f"{where}: {name} must be three numbers.")
    return kind(**values)
