"""Names that laboratories give to initial contact and foot off, some with the side: ``Toe Off``, ``LHS``, ``RTO``."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

EventKind = Literal["initial contact", "foot off"]

INITIAL_CONTACT: EventKind = "initial contact"
FOOT_OFF: EventKind = "foot off"

_NAMES: dict[EventKind, str] = {
    INITIAL_CONTACT: (
        "hs fs ic hc fc td "
        "footstrike heelstrike strike initialcontact footcontact heelcontact floorcontact contact footon footdown "
        "heeldown touchdown "
        "contattoiniziale contattopiede contattotallone appoggio appoggiotallone appoggiopiede "
        "initialkontakt initialerkontakt bodenkontakt fersenkontakt fusskontakt fussaufsatz aufsetzen "
        "contactinitial contacttalon attaquetalon posetalon posepied "
        "contactoinicial apoyoinicial"
    ),
    FOOT_OFF: (
        "to fo lo "
        "footoff toeoff liftoff footup "
        "stacco distacco staccopiede distaccopiede staccopunta "
        "zehenabloesung zehenablosung fussabhebung abheben abloesung ablosung "
        "decollement decollementpied decollementorteils leveepied leverpied "
        "despegue despeguepie"
    ),
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_ABBREVIATIONS = tuple(name for name in _KINDS if len(name) == 2)

_SIDES = {
    "left": ("left", "l", "sx", "links", "li", "gauche", "g"),
    "right": ("right", "r", "dx", "rechts", "re", "droite", "d"),
}
_SIDE_OF = {word: side for side, words in _SIDES.items() for word in words}
_WORD = re.compile(r"[a-z]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_FILLERS = frozenset(("del", "di", "de", "du", "des", "le", "la", "the", "event", "foot"))


def parse_event_label(label: str, context: str = "") -> tuple[EventKind | None, str]:
    """Return what an event is, None if it is no initial contact or foot off, and its side, "" if none is given.

    The context is that of the file ("Left"); where it is no side, the label may name one ("LHS", "Right Toe Off").
    """
    words = _words(label)
    side = _SIDE_OF.get("".join(_words(context)), "")
    for k in (0, -1):
        if words and words[k] in _SIDE_OF and len(words) > 1:
            side = side or _SIDE_OF[words.pop(k)]
            break
    if len(words) == 1 and len(words[0]) == 3 and words[0] not in _KINDS:
        word = words[0]
        for letter, name in ((word[0], word[1:]), (word[2], word[:2])):
            if letter in "lr" and name in _ABBREVIATIONS:
                words, side = [name], side or _SIDE_OF[letter]
                break
    kind = _KINDS.get("".join(words))
    if kind is None:
        kind = _KINDS.get("".join(word for word in words if word not in _FILLERS))
    return kind, side


def _words(text: str) -> list[str]:
    """Return the words of a label in lower case, without accents: ``RightFoot_Strike`` gives right, foot, strike."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return _WORD.findall(_CAMEL.sub(" ", plain).lower())
