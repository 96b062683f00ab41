"""Pages for readers: links lead somewhere, and Python blocks run in the order of their page, in a finished run."""

import re
from pathlib import Path

import pytest

from tests.helpers.paths import REPOSITORY

_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [  # docs/add_*.md have their own tests
    page
    for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("[!a]*.md")))
    if _BLOCK.search(page.read_text(encoding="utf-8"))
]


def anchors(page: Path) -> set[str]:
    """The names by which GitHub links to the headings of a page."""
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_of_pages_lead_to_files_and_headings_that_exist() -> None:
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")]
    links = [(page, *link) for page in pages for link in _LINK.findall(page.read_text(encoding="utf-8"))]
    targets = [(page, (page.parent / file).resolve() if file else page, anchor) for page, file, anchor in links]
    assert len(targets) > 100
    assert [(page.name, target.name) for page, target, _ in targets if not target.exists()] == []
    broken = [(page.name, target.name, a) for page, target, a in targets if a and a not in anchors(target)]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_of_pages_run(page: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_folder)
    names: dict[str, object] = {}
    text = page.read_text(encoding="utf-8")
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(page), "exec"), names)
