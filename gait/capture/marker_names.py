"""Classify the points of a recording by their labels: markers, model outputs, unlabelled points.

Laboratories use different names for the same landmark. Inside the suite a marker has the canonical name of its marker
set. This module finds it, and separates markers from the points that a laboratory's model wrote into the file. What a
name means can depend on the other names of the file: ``canonical_markers`` looks at all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from gait.marker_sets import MARKER_BY_ALIAS, MARKER_BY_TERMS, MARKERS, sets_in_use
from gait.marker_sets.marker_set import name_key
from gait.marker_sets.marker_words import describe

_CANONICAL_BY_KEY = {name_key(name): marker.name for name, marker in MARKER_BY_ALIAS.items()}
_VERTEBRA_OR_LEFT = re.compile(r"^L([1-5])$", re.IGNORECASE)
_SIDE_LAST = re.compile(r"^(.+?)[\s_.\-]+(L|R|LEFT|RIGHT)$")
_SIDE_WORD = re.compile(r"^(L|R)(?:EFT|IGHT)(?=[\s_.\-]|[A-Z]{3})")

_UNLABELLED = re.compile(
    r"^\*|^\d*$|^C_|^U_?\d+$|^(UN-?LABEL+ED|UNNAMED|UNIDENTIFIED|UNKNOWN|UNAME|GHOST|NONAME)", re.IGNORECASE
)

_OUTPUT_WORDS = re.compile(
    r"angle|force|moment|power|grf$|projections?$|archheight|hfplantar$|leglength|cent(re|er)ofmass",
    re.IGNORECASE,
)
_PLATE_CORNER = re.compile(r"^(fp|force_?plate|plate)_?\d+_?(corner|origin)", re.IGNORECASE)
_HELPER_POINT = re.compile(r"^(mid|proj)_?[A-Z]")  # case-sensitive: midASIS, projLKAX
_JOINT_CENTRE = re.compile(r"^[LR](HJC|KJC|AJC|SJC|EJC|WJC)(harrington|bell|hara|davis|score)?$", re.IGNORECASE)
_MASS_CENTRE = re.compile(r"^(cent(re|er)ofmass(floor)?|com(floor)?|cog)$", re.IGNORECASE)
_SEGMENT_AXES = re.compile(r"^(PEL|TRX|HED|[LR](?:CL|FE|FO|HN|HU|RA|TI|TO))([OALP])$")
_VECTOR = re.compile(r"^(.{3,}_)([XYZ])$")
# Virtual points of the Oxford foot model; the numbered tibia points are real cluster markers elsewhere.
_OXFORD_FOOT = re.compile(r"^([LR](FOF[0-3]|HDF[0-3]|HLX[0-3]|TIB[1-3]|HE1|D1M0|ANK1|PROXFF)|PEL0)$")
_OXFORD_INDICATOR_LABELS = frozenset({"LFOF0", "RFOF0", "LHDF0", "RHDF0"})
# Construction points of scripted upper-body Plug-in Gait; only together with the joint centres of the same script.
_UPPER_BODY = re.compile(r"^(OT|HC|C7o|[LR](VWM|MWP|CVM|HO))$")
_UPPER_BODY_INDICATOR_LABELS = frozenset({"LSJC", "RSJC", "LCVM", "RCVM"})


@dataclass(frozen=True)
class PointLabel:
    """Label of a point, split into prefix and name."""

    prefix: str  # text before the marker name; may be a subject's name: never print it
    name: str  # as stored, without prefix and surrounding blanks


def strip_label(label: str) -> str:
    """Return ``label`` without surrounding blanks and NULs, unprintable characters replaced by underscores."""
    label = label.strip(" \t\r\n\0")
    return label if label.isprintable() else "".join(c if c.isprintable() else "_" for c in label)


def canonical_marker(name: str) -> str | None:
    """Return the canonical name of the marker ``name`` (without prefix), or None if it has none in every file.

    ``canonical_marker("l_ias") == canonical_marker("LASIS") == "LASI"``.
    """
    return _by_alias(name) or _by_words(name)


def canonical_markers(names: Iterable[str]) -> dict[str, str]:
    """Return the canonical names of those of a subject's names (without prefixes) that are known markers.

    The marker sets in use decide first, as a set's own names can mean something else in other sets: ``RKnee`` is a
    joint centre beside ``Nose`` and ``Neck``. A name as a set spells it comes before one that differs in case and
    separators: OpenCap writes ``RKnee`` beside ``r_knee_study``. Then come names that mean the same in all sets, then
    names whose words say what they mean. Of names that are only parsed, each marker takes one.
    """
    names = list(dict.fromkeys(names))
    spelled: dict[str, str] = {}
    by_key: dict[str, str] = {}
    for used in reversed(sets_in_use(names)):  # the set with most of the names last, so that it decides
        spelled |= used.names
        by_key |= {name_key(own): marker for own, marker in used.names.items()}
    known: dict[str, str] = {}
    for name in names:
        label = strip_label(name)
        marker = spelled.get(label) or by_key.get(name_key(label)) or _by_alias(name)
        if marker is not None:
            known[name] = marker
    taken = set(known.values())
    keys = {name_key(strip_label(name)) for name in names}
    for name in names:
        number = _VERTEBRA_OR_LEFT.match(strip_label(name))
        if name in known or (number and f"R{number[1]}" in keys):
            continue
        marker = _by_words(name)
        if marker is not None and marker not in taken:
            known[name] = marker
            taken.add(marker)
    return known


@lru_cache(maxsize=4096)
def _by_alias(name: str) -> str | None:
    """Return the marker whose canonical name or alias this is."""
    upper = strip_label(name).upper()
    for spelling in (upper, _SIDE_WORD.sub(r"\1", upper), _SIDE_LAST.sub(_side_first, upper)):
        found = _CANONICAL_BY_KEY.get(name_key(spelling))
        if found is not None:
            return found
    return None


@lru_cache(maxsize=4096)
def _by_words(name: str) -> str | None:
    """Return the marker that the words of a name describe."""
    said = describe(strip_label(name))
    if said is None:
        return None
    found = MARKER_BY_TERMS.get((said.side, said.terms))
    return found.name if found is not None else None


def contralateral_marker(marker: str) -> str | None:
    """Return the marker of the other side (``RKNE`` for ``LKNE``), or None for a midline marker; canonical names."""
    return (MARKERS[marker].contralateral or None) if marker in MARKERS else None


def sanitize_marker_name(name: str) -> str:
    """Return the name of a marker that no marker set has: upper case, blanks as underscores."""
    return re.sub(r"\s+", "_", strip_label(name).upper())


def is_unlabelled(name: str) -> bool:
    """Return True if a point is unlabelled: ``*12``, ``C_7``, ``unlabeled 3``, ``0`` or an empty name."""
    return _UNLABELLED.match(strip_label(name)) is not None


def split_prefixes(labels: Iterable[str]) -> tuple[PointLabel, ...]:
    """Split the subject prefix off each label, as in ``Subject:LASI`` or ``Subject_LASI``.

    A colon always ends a prefix. An underscore, dot or dash does so only if at least four labels share the prefix and
    are known markers without it, so ``L_IAS`` and ``R.ASIS`` have no prefix.
    """
    labels = [strip_label(label) for label in labels]
    shared = _shared_prefixes(labels)
    names = []
    for label in labels:
        prefix, colon, name = label.rpartition(":")
        if not colon:
            prefix, name = next(
                ((p, label[len(p) :]) for p in shared if label.startswith(p) and len(label) > len(p)),
                ("", label),
            )
        names.append(PointLabel(strip_label(prefix), strip_label(name)))
    return tuple(names)


def find_model_outputs(names: Iterable[str], listed: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return those of ``names`` (without prefixes) that a laboratory's model wrote: angles, moments, axes, centres.

    ``listed`` are the names that the file declares as angles, forces, moments, powers or scalars. This list is rarely
    complete, so names are also recognized by pattern. Patterns that a marker name could match (``LTIP``, ``LTIB1``,
    ``HEAD_X``) count only if other names of the same group are present.
    """
    names = frozenset(names)
    axes: dict[str, set[str]] = {}
    vectors: dict[str, set[str]] = {}
    for name in names:
        if match := _SEGMENT_AXES.match(name):
            axes.setdefault(match[1], set()).add(match[2])
        if match := _VECTOR.match(name):
            vectors.setdefault(match[1], set()).add(match[2])
    oxford_foot = bool(names & _OXFORD_INDICATOR_LABELS)
    upper_body = bool(names & _UPPER_BODY_INDICATOR_LABELS)

    def is_output(name: str) -> bool:
        if name in listed or is_model_position(name):
            return True
        if _OUTPUT_WORDS.search(name) or _PLATE_CORNER.match(name) or _HELPER_POINT.match(name):
            return True
        if (match := _SEGMENT_AXES.match(name)) and len(axes[match[1]]) >= 2:
            return True
        if (match := _VECTOR.match(name)) and vectors[match[1]] == {"X", "Y", "Z"}:
            return True
        return (oxford_foot and bool(_OXFORD_FOOT.match(name))) or (upper_body and bool(_UPPER_BODY.match(name)))

    return frozenset(name for name in names if is_output(name))


def is_model_position(name: str) -> bool:
    """Return True if a model output is a position: a joint centre, centre of mass or segment origin.

    ``LFEP``, the proximal end of the long axis of the femur, is the hip joint centre in Plug-in Gait.
    """
    if _JOINT_CENTRE.match(name) or _MASS_CENTRE.match(name) or name in ("LFEP", "RFEP"):
        return True
    match = _SEGMENT_AXES.match(name)
    return match is not None and match[2] == "O"


def _side_first(match: re.Match[str]) -> str:
    return match[2][0] + match[1]


def _shared_prefixes(labels: list[str]) -> tuple[str, ...]:
    """Return the prefixes (ending in ``_``, ``.``, ``-``) of at least four known marker names, longest first."""
    counts: dict[str, int] = {}
    for label in labels:
        if ":" in label or canonical_marker(label) is not None:
            continue
        for match in re.finditer(r"[_.\-]", label):
            prefix, name = label[: match.end()], label[match.end() :]
            if prefix[:-1].upper() not in ("L", "R", "LEFT", "RIGHT", "C") and canonical_marker(name) is not None:
                counts[prefix] = counts.get(prefix, 0) + 1
    return tuple(sorted((prefix for prefix, count in counts.items() if count >= 4), key=len, reverse=True))
