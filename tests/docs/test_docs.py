"""Every Python block of the README and of docs/ runs, in the order of its page, in the folder of a finished run."""

import re
from pathlib import Path

import pytest

from tests.helpers.paths import REPOSITORY

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [  # docs/add_*.md have their own tests
    page
    for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("[!a]*.md")))
    if _BLOCK.search(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_of_pages_run(page: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_folder)
    names: dict[str, object] = {}
    text = page.read_text(encoding="utf-8")
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(page), "exec"), names)
