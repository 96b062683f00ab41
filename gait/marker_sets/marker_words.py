"""Parse marker names that say what they mean: ``L.SHANK.UPPER.ANT``, ``RXSHOULD``, ``Genou_G``.

A name is split into words; each word, in any of several languages, stands for one term: a body part, a landmark, or
an aspect of it (lateral, medial, anterior, posterior, proximal, distal, middle). A marker says in ``described`` which
terms mean it. A name with a word that is not in this table means nothing.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

# English, French, German, Italian, Spanish, Dutch, Portuguese; without accents. Words of one or two letters, which can
# be part of any longer word, are only read where they stand alone or after a side.
_WORDS = {
    "head": "head hd kopf tete testa cabeza cabeca hoofd skull",
    "forehead": "forehead stirn fronte frente glabella glab",
    "mastoid": "mastoid mastoide",
    "shoulder": "shoulder should shld shoul sho schulter epaule spalla hombro ombro schouder",
    "acromion": "acromion ac acromium acrom acr akromion acromio",
    "deltoid": "deltoid delt deltoide",
    "clavicle": "clavicle clavic clavicula clavicola clavicule schluesselbein schlusselbein sleutelbeen",
    "sternum": "sternum sternal stern brustbein esternon esterno borstbeen",
    "jugular": "jugular jugularis jugulum suprasternal notch",
    "xiphoid": "xiphoid xiphoideus xyphoid xiph xyph xifoide",
    "chest": "chest brust poitrine petto pecho peito borst",
    "scapula": "scapula scap omoplate schulterblatt scapola escapula omoplata schouderblad",
    "trunk": "trunk thorax thor torso rumpf tronc tronco romp",
    "navel": "navel nabel nombril ombelico ombligo umbigo",
    "vertebra": "vertebra vertebre wirbel",
    "spine": "spine spina epine espina espinha",
    "pelvis": "pelvis pelv becken bassin bacino bekken pelve waist pv",
    "asis": "asis sias eias",
    "psis": "psis sips eips",
    "sacrum": "sacrum sacral sacro sacr sacre kreuzbein heiligbeen",
    "iliaccrest": "iliac iliaca iliaque crest crista crete cresta darmbein darmbeinkamm ilcr",
    "trochanter": "trochanter troch troc trochantere trocantere trocanter gtr gtro gt",
    "hip": "hip huefte hufte hanche anca cadera quadril heup",
    "thigh": "thigh thi oberschenkel cuisse coscia muslo coxa bovenbeen dijbeen femur femoral femorale fem upperleg th",
    "epicondyle": "epicondyle epicond condyle cond epikondylus kondylus condylus epicondilo condilo",
    "knee": "knee kne genou knie ginocchio rodilla joelho",
    "patella": "patella kniescheibe rotule rotula",
    "shank": "shank unterschenkel jambe gamba pierna perna onderbeen tibia tibial tibiale tib calf lowerleg tb sk sh",
    "shin": "shin schienbein scheenbeen",
    "tuberosity": "tuberosity tt tuberosite tuberositas tuberosita tuberosidad",
    "fibulahead": "hf fibulahead",
    "fibula": "fibula fibular fib perone wadenbein",
    "ankle": "ankle ank cheville knoechel knochel sprunggelenk caviglia tobillo tornozelo enkel",
    "malleolus": "malleolus malleol mall mal malleole malleolo maleolo",
    "heel": "heel hee calcaneus calcaneum calcan calc calcn ferse talon tallone calcagno calcaneo calcanhar hiel",
    "foot": "foot fuss pied piede pie voet ft",
    "forefoot": "forefoot vorfuss avantpied avampiede antepie voorvoet",
    "midfoot": "midfoot mittelfuss",
    "toe": "toe zehe zeh orteil teen",
    "hallux": "hallux halux bigtoe grosszehe",
    "metatarsal": "metatarsal metatarsale metatarsus metatarse metatarso metat meta met mth mtp mt",
    "navicular": "navicular naviculare scafoide",
    "base": "base basis",
    "upperarm": "upperarm uparm uarm arm oberarm bras braccio brazo braco bovenarm humerus humeral biceps bicep ua",
    "elbow": "elbow elb coude ellenbogen ellbogen gomito codo cotovelo elleboog",
    "forearm": "forearm farm loarm lowerarm unterarm avantbras avambraccio antebrazo antebraco onderarm fa",
    "wrist": "wrist wri poignet handgelenk polso muneca punho pols",
    "radius": "radius radial rad radiale radio",
    "ulna": "ulna ulnar uln ulnare cubito",
    "hand": "hand main mano mao",
    "finger": "finger fin doigt dito dedo vinger",
    "thumb": "thumb thmb pouce daumen pollice pulgar polegar duim",
    "metacarpal": "metacarpal metac mcp mc hm",
    "lateral": "lateral lat laterale lateralis outer outside out external ext est esterno esterna externe externo "
    "aussen extern",
    "medial": "medial med mediale medialis inner inside in internal int interno interna interne innen intern",
    "anterior": "anterior ant anteriore anterieur front frt vorn vorne vordere avant voor",
    "posterior": "posterior post pos posteriore posterieur back rear hinten hintere arriere achter",
    "proximal": "proximal prox proximale upper up top superior sup superieur superiore high oben obere haut boven",
    "distal": "distal dist distale lower low lo bottom inferior inf inferieur inferiore unten untere bas onder",
    "middle": "middle mid mitte mittlere milieu medio mezzo midden centre center central",
    "": "study marker mkr mrk markers cluster clust clus plate wand stick skin calib cal static tech technical process "
    "of the de du la le il del bone point styloid greater",
}
_TERM = {word: term for term, words in _WORDS.items() for word in words.split()}
_LONG = {word for word in _TERM if len(word) >= 3}

_SIDES = {
    **dict.fromkeys(("l", "left", "lt", "lx", "links", "linke", "linker", "gauche", "sinistro", "sinistra"), "left"),
    **dict.fromkeys(("sx", "sin", "izq", "izquierdo", "izquierda", "esq", "esquerdo", "esquerda", "li"), "left"),
    **dict.fromkeys(("r", "right", "rt", "rx", "rechts", "rechte", "rechter", "droit", "droite", "destro"), "right"),
    **dict.fromkeys(("destra", "dx", "der", "derecho", "derecha", "dir", "direito", "direita", "re"), "right"),
}
_JOINED_SIDES = (
    *sorted((side for side in _SIDES if len(side) > 2), key=len, reverse=True),
    *"lr",
    "lx",
    "rx",
    "sx",
    "dx",
)
"""Those that are written together with other words, in the order in which they are tried."""
_SIDE_LETTERS = {"g": "left", "i": "left", "e": "left", "s": "left", "d": "right"}
"""Gauche, izquierda, esquerda, sinistra; droite, derecha, direita, destra: only alone, in a name without other side."""

_ORDINAL = re.compile(r"(\d)(?:st|nd|rd|th)(?![a-z])")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
_VERTEBRA = re.compile(r"(?:(c|cv)(7)|(t|tv|th|d)(\d|1[0-2])|(l|lv)([1-5]))")


@dataclass(frozen=True)
class Description:
    """What the words of a marker name say."""

    side: str  # "left", "right", or ""
    terms: frozenset[str]  # body parts, landmarks, aspects, numbers


@lru_cache(maxsize=4096)
def describe(name: str) -> Description | None:
    """Return what a name says; None if one of its words is unknown or nothing is left without the sides."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    if vertebra := _VERTEBRA.fullmatch(re.sub(r"[\s_.\-]+", "", plain).lower()):
        level = next(letter[0] for letter in vertebra.groups()[::2] if letter)
        number = next(digits for digits in vertebra.groups()[1::2] if digits)
        return Description("", frozenset(["vertebra", level.replace("d", "t") + number]))
    words = [word for word in re.split(r"[^a-z0-9]+", _ORDINAL.sub(r"\1", _spaced(plain)).lower()) if word]
    sides: list[str] = []
    letters: list[str] = []
    terms: list[str] = []
    for word in words:
        if word.isdigit():
            terms.append(str(int(word)))
        elif (parts := _split_word(word)) is not None:
            sides += parts[0]
            terms += parts[1]
        elif word in _SIDE_LETTERS:
            letters.append(_SIDE_LETTERS[word])
        else:
            return None
    sides = sides or letters
    kept = frozenset(term for term in terms if term)
    if not kept or len(set(sides)) > 1:
        return None
    return Description(sides[0] if sides else "", kept)


def _spaced(name: str) -> str:
    """Return the name with its ordinals whole and spaces at changes of case and between letters and digits."""
    return _CAMEL.sub(" ", re.sub(r"(\d)(ST|ND|RD|TH)(?![A-Za-z])", r"\1", name))


def _split_word(word: str) -> tuple[list[str], list[str]] | None:
    """Return the sides and the terms of a word: one of the tables, or such words written together, or None."""
    if word in _SIDES:
        return [_SIDES[word]], []
    if word in _TERM:
        return [], [_TERM[word]]
    for side in _JOINED_SIDES:
        if word.startswith(side) and (terms := _split_terms(word[len(side) :])) is not None:
            return [_SIDES[side]], terms
        if word.endswith(side) and (terms := _split_terms(word[: -len(side)])) is not None:
            return [_SIDES[side]], terms
    terms = _split_terms(word)
    return None if terms is None else ([], terms)


def _split_terms(word: str) -> list[str] | None:
    """Return the terms of a text without separators that is made of known words, the longest first; or None."""
    if word in _TERM:
        return [_TERM[word]]
    for length in range(len(word) - 3, 2, -1):
        if word[:length] in _LONG and (rest := _split_terms(word[length:])) is not None:
            return [_TERM[word[:length]], *rest]
    return None
