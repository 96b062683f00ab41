"""What the points of a recording are called: markers, model outputs, unlabelled points, prefixes.

Laboratories name the same spot of the skin differently. Inside the suite a marker has the name that Plug-in
Gait gives it; this module holds the one table of other names, and tells markers from the points that a
laboratory's own model wrote into the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_PAIRED = (
    *("FHD", "BHD", "SHO", "UPA", "ELB", "FRM", "WRA", "WRB", "FIN", "ASI", "PSI"),
    *("THI", "KNE", "KNM", "TIB", "ANK", "MED", "HEE", "TOE"),
)
_SINGLE = ("C7", "T10", "CLAV", "STRN", "RBAK", "SACR")

CANONICAL_MARKERS: tuple[str, ...] = (
    *_SINGLE,
    *(side + stem for stem in _PAIRED for side in "LR"),
)
"""Plug-in Gait's names, with KNM the medial knee and MED the medial ankle. SACR stands for the PSIS pair."""

# Other names of the same spot, without the side and without separators. Only names that mean one spot in
# every convention that we know are here: "Clavicle", "Sternum", "Wrist" and numbered cluster markers do not,
# and stay what they are.
_PAIRED_ALIASES: dict[str, tuple[str, ...]] = {
    "FHD": ("HDF", "FHEAD", "HEADF", "FRONTHEAD", "HEADFRONT"),
    "BHD": ("HDB", "BHEAD", "HEADB", "BACKHEAD", "HEADBACK"),
    "SHO": ("SHOULDER", "SHLD", "SAJ", "ACR", "ACRO", "ACROM", "ACROMION"),
    "UPA": ("UPPERARM",),
    "ELB": ("ELBOW", "HLE", "LELB", "ELBL", "ELBLAT", "LATELB"),
    "FRM": ("FOREARM",),
    "WRA": ("WRISTA", "RSP"),  # thumb side: radial styloid process
    "WRB": ("WRISTB", "UHE", "USP"),  # little finger's side: ulnar head or styloid process
    "FIN": ("HM2",),  # head of the second metacarpal
    "ASI": ("ASIS", "IAS"),
    "PSI": ("PSIS", "IPS"),
    "THI": ("THIGH", "LTHI"),
    "KNE": ("KNEE", "FLE", "LEK", "LFC", "LFE", "LKNE", "KNEL", "KNEELAT", "LATKNEE", "KNELAT"),
    "KNM": (
        "FME",
        "MEK",
        "MFC",
        "MFE",
        "MKNE",
        "MKNEE",
        "KNEM",
        "KNEEM",
        "KNI",
        "KNEEMED",
        "MEDKNEE",
        "KNEMED",
    ),
    "TIB": ("TIBIA", "LTIB", "LSHA"),
    "ANK": ("ANKLE", "FAL", "LM", "LMA", "LMAL", "LATMAL", "LANK", "ANKL", "ANKLAT", "ANKLELAT"),
    "MED": ("TAM", "MM", "MMA", "MMAL", "MEDMAL", "MANK", "ANKM", "ANKMED", "ANKLEMED", "MEDANK"),
    "HEE": ("HEEL", "FCC", "CAL", "CALC", "CALCANEUS"),
    "TOE": ("MT2", "FM2"),  # head of the second metatarsal
}
_SINGLE_ALIASES: dict[str, tuple[str, ...]] = {
    "C7": ("CV7", "VC7"),
    "T10": ("TV10", "VT10"),
    "CLAV": ("SNJ", "SJN", "JN", "IJ"),  # jugular notch
    "STRN": ("SXS", "XIPH", "XIP", "XYPH", "XIPHOID", "PX"),  # xiphoid process
    "RBAK": ("RBACK", "RBAC"),
    "SACR": ("SACRUM", "SAC", "SACRAL", "S2"),
}

_CANONICAL_BY_KEY: dict[str, str] = {
    **{alias: name for name, aliases in _SINGLE_ALIASES.items() for alias in aliases},
    **{side + alias: side + name for name, aliases in _PAIRED_ALIASES.items() for alias in aliases for side in "LR"},
    **{name: name for name in CANONICAL_MARKERS},  # last, so that a canonical name is never another's alias
}

_SEPARATORS = re.compile(r"[\s_.\-]+")
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
_HELPER_POINT = re.compile(r"^(mid|proj)_?[A-Z]")  # case matters: midASIS, projLKAX
_JOINT_CENTRE = re.compile(r"^[LR](HJC|KJC|AJC|SJC|EJC|WJC)(harrington|bell|hara|davis|score)?$", re.IGNORECASE)
_MASS_CENTRE = re.compile(r"^(cent(re|er)ofmass(floor)?|com(floor)?|cog)$", re.IGNORECASE)
_SEGMENT_AXES = re.compile(r"^(PEL|TRX|HED|[LR](?:CL|FE|FO|HN|HU|RA|TI|TO))([OALP])$")
_VECTOR = re.compile(r"^(.{3,}_)([XYZ])$")
# Virtual points of the Oxford foot model; the numbered tibia points are real cluster markers elsewhere.
_OXFORD_FOOT = re.compile(r"^([LR](FOF[0-3]|HDF[0-3]|HLX[0-3]|TIB[1-3]|HE1|D1M0|ANK1|PROXFF)|PEL0)$")
_OXFORD_WITNESSES = frozenset({"LFOF0", "RFOF0", "LHDF0", "RHDF0"})
# Construction points of scripted upper-body Plug-in Gait; only beside the joint centres of the same script.
_UPPER_BODY = re.compile(r"^(OT|HC|C7o|[LR](VWM|MWP|CVM|HO))$")
_UPPER_BODY_WITNESSES = frozenset({"LSJC", "RSJC", "LCVM", "RCVM"})


@dataclass(frozen=True)
class PointLabel:
    """A point's label, taken apart."""

    prefix: str  # what stood before the marker's name; may be a person's name: never print it
    name: str  # as written, without prefix and blanks


def cleaned(label: str) -> str:
    """``label`` without the blanks and NULs around it; what cannot be printed becomes an underscore."""
    label = label.strip(" \t\r\n\0")
    return label if label.isprintable() else "".join(c if c.isprintable() else "_" for c in label)


def canonical_marker(name: str) -> str | None:
    """Plug-in Gait's name of the marker ``name`` (no prefix), or None where we know no such marker.

    ``canonical_marker("l_ias") == canonical_marker("LASIS") == "LASI"``.
    """
    upper = cleaned(name).upper()
    for spelling in (upper, _SIDE_WORD.sub(r"\1", upper), _SIDE_LAST.sub(_side_first, upper)):
        found = _CANONICAL_BY_KEY.get(_SEPARATORS.sub("", spelling))
        if found is not None:
            return found
    return None


def other_side(marker: str) -> str | None:
    """The same marker of the other side (``RKNE`` of ``LKNE``), or None for one of the midline; canonical names."""
    if marker[1:] not in _PAIRED:
        return None
    return {"L": "R", "R": "L"}[marker[0]] + marker[1:]


def own_marker(name: str) -> str:
    """The name kept for a marker that Plug-in Gait does not know: upper case, blanks as underscores."""
    return re.sub(r"\s+", "_", cleaned(name).upper())


def is_unlabelled(name: str) -> bool:
    """Whether nobody said what this point is: ``*12``, ``C_7``, ``unlabeled 3``, ``0`` or nothing at all."""
    return _UNLABELLED.match(cleaned(name)) is not None


def split_prefixes(labels: Iterable[str]) -> tuple[PointLabel, ...]:
    """Take the subject's prefix off every label: ``Subject:LASI``, or ``Subject_LASI`` where several say so.

    An underscore, dot or dash only ends a prefix when at least four labels share it and are known markers
    without it; ``L_IAS`` and ``R.ASIS`` have none.
    """
    labels = [cleaned(label) for label in labels]
    shared = _shared_prefixes(labels)
    names = []
    for label in labels:
        prefix, colon, name = label.rpartition(":")
        if not colon:
            prefix, name = next(
                ((p, label[len(p) :]) for p in shared if label.startswith(p) and len(label) > len(p)),
                ("", label),
            )
        names.append(PointLabel(cleaned(prefix), cleaned(name)))
    return tuple(names)


def model_outputs(names: Iterable[str], listed: frozenset[str] = frozenset()) -> frozenset[str]:
    """Those of ``names`` (no prefixes) that a laboratory's model wrote: angles, moments, axes, centres.

    ``listed`` are the names that the file itself declares as angles, forces, moments, powers or scalars; such
    a list is rarely complete, so that names are judged by their pattern as well. Patterns that real markers
    could fit (``LTIP``, ``LTIB1``, ``HEAD_X``) count only beside their siblings.
    """
    names = frozenset(names)
    axes: dict[str, set[str]] = {}
    vectors: dict[str, set[str]] = {}
    for name in names:
        if match := _SEGMENT_AXES.match(name):
            axes.setdefault(match[1], set()).add(match[2])
        if match := _VECTOR.match(name):
            vectors.setdefault(match[1], set()).add(match[2])
    oxford_foot = bool(names & _OXFORD_WITNESSES)
    upper_body = bool(names & _UPPER_BODY_WITNESSES)

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
    """Whether a model output's name is that of a place: a joint's or mass centre, a segment's origin.

    ``LFEP``, the end of the femur's long axis, is the hip joint centre in Plug-in Gait.
    """
    if _JOINT_CENTRE.match(name) or _MASS_CENTRE.match(name) or name in ("LFEP", "RFEP"):
        return True
    match = _SEGMENT_AXES.match(name)
    return match is not None and match[2] == "O"


def _side_first(match: re.Match[str]) -> str:
    return match[2][0] + match[1]


def _shared_prefixes(labels: list[str]) -> tuple[str, ...]:
    """Prefixes (ending in ``_``, ``.``, ``-``) that hide four known names or more, longest first."""
    hidden: dict[str, int] = {}
    for label in labels:
        if ":" in label or canonical_marker(label) is not None:
            continue
        for match in re.finditer(r"[_.\-]", label):
            prefix, name = label[: match.end()], label[match.end() :]
            if prefix[:-1].upper() not in ("L", "R", "LEFT", "RIGHT", "C") and canonical_marker(name) is not None:
                hidden[prefix] = hidden.get(prefix, 0) + 1
    return tuple(sorted((prefix for prefix, count in hidden.items() if count >= 4), key=len, reverse=True))
