"""A cohort on several processes, here or on a cluster: one person is one task."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gait.capture.cohort_file import Subject
from gait.cohort.gait_outcome import GaitOutcome

LOOK_AGAIN_S = 1.0
"""How often a run looks whether another one has let go of a person."""


@dataclass(frozen=True)
class Done:
    """All gaits of a person have been told of."""


@dataclass(frozen=True)
class Taken:
    """Another run is fitting this person."""

    line: str


@dataclass(frozen=True)
class Died:
    """What was fitting this person ended without a word."""

    line: str


News = GaitOutcome | Done | Taken | Died


class Crew(Protocol):
    """Fits persons, several at a time."""

    places: int  # persons at a time
    tries: int  # of a person whose process dies

    def begin(self, subject: Subject) -> None:
        """Start on a person."""

    def news(self, seconds: float) -> list[tuple[Subject, News]]:
        """What has happened; waits for something up to so many seconds. Done, Taken and Died end a person's task."""


def run_cohort(subjects: Sequence[Subject], crew: Crew, tell: Callable[[str], None]) -> Iterator[GaitOutcome]:
    """Fit all subjects; yields one outcome a gait as soon as it is known, in any order.

    Persons whom another run is fitting come last, and one whose process died is tried again when nothing else runs:
    memory that was too little for several may do for one.

    Args:
        subjects: with different names.
        crew: does the work.
        tell: takes a line for the user.
    """
    waiting, alone = deque(subjects), deque[Subject]()
    taken: list[Subject] = []
    running: set[str] = set()
    known: set[tuple[str, str]] = set()  # (subject, gait)
    deaths: dict[str, int] = {}
    told_taken: set[str] = set()
    look_again = 0.0
    while waiting or running or taken or alone:
        if taken and not waiting and time.monotonic() >= look_again:
            waiting.extend(taken)
            taken.clear()
        if alone and not (waiting or running or taken):
            waiting.append(alone.popleft())
        while waiting and len(running) < crew.places:
            subject = waiting.popleft()
            running.add(subject.name)
            crew.begin(subject)
        if not running:
            time.sleep(max(look_again - time.monotonic(), 0))
            continue
        for subject, what in crew.news(LOOK_AGAIN_S):
            if isinstance(what, GaitOutcome):
                if (what.subject, what.gait) not in known:  # of a person tried again, some are
                    known.add((what.subject, what.gait))
                    yield what
                continue
            running.discard(subject.name)
            if isinstance(what, Taken):
                taken.append(subject)
                look_again = time.monotonic() + LOOK_AGAIN_S
                if subject.name not in told_taken:
                    told_taken.add(subject.name)
                    tell(f"{what.line} Looked at again later.")
            elif isinstance(what, Died):
                deaths[subject.name] = deaths.get(subject.name, 0) + 1
                if deaths[subject.name] < crew.tries:
                    alone.append(subject)
                    tell(f"{subject.name}: {what.line}; tried once more at the end, alone.")
                    continue
                for gait in subject.gaits:
                    if (subject.name, gait.stem) not in known:
                        yield GaitOutcome(subject.name, gait.stem, "failed", f"{subject.name}: {what.line}.")
