"""The container installs what setup.sh does, on the Python that it prefers, and copies all that the package is made of.

No container is built here.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from gait.viewing.offscreen_renderer import DEBIAN_PACKAGES
from tests.helpers.checkout import SCRIPTS
from tests.helpers.paths import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
SETUP = (REPOSITORY / "setup.sh").read_text(encoding="utf-8")


def steps() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile and what follows them, in one line each."""
    lines = [line for line in (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined) if word]


def only(instruction: str) -> str:
    (found,) = [rest for word, rest in steps() if word == instruction]
    return found


def is_sent(file: str) -> bool:
    """Return whether .dockerignore lets a file of the checkout into the build; the last pattern that matches counts."""
    sent = True
    for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            inside = any(Path(part).match(pattern) for part in (file, *map(str, Path(file).parents)) if part != ".")
            sent = line.startswith("!") if inside else sent
    return sent


def built(file: Path) -> bool:
    return "__pycache__" in file.parts or file.name.startswith("_native_solver.")


def test_python_is_the_one_that_setup_prefers() -> None:
    found = re.fullmatch(r"python:(3\.\d+)-slim-bookworm", only("FROM"))
    assert found, "Debian 12, which is tested"
    preferred = re.search(r"for candidate in python(3\.\d+)", SETUP)
    assert preferred
    assert found[1] == preferred[1]
    assert PROJECT["project"]["requires-python"] == f">={found[1]}"


def test_debian_packages_are_those_of_setup() -> None:
    first, second = [rest for word, rest in steps() if word == "RUN" and "apt-get install" in rest]
    found, compiler = (
        [word for word in re.search(r"apt-get install ([^&]*)", each)[1].split() if not word.startswith("-")]  # type: ignore[index]
        for each in (first, second)
    )
    assert found == [*DEBIAN_PACKAGES]
    assert compiler == ["gcc", "libc6-dev"], "for the compiled solver, which the image needs no compiler to run"
    assert second.index("pip install") < second.index("apt-get purge --yes --auto-remove gcc libc6-dev")
    assert "assert load_library()" in second.partition("apt-get purge")[2], "no image without the solver"
    assert "offscreen_renderer import *; print(*DEBIAN_PACKAGES)" in SETUP
    assert ("RUN", "python -m gait.viewing.offscreen_renderer") in steps()


def test_python_packages_have_the_versions_and_extras_of_setup() -> None:
    (install,) = [rest for word, rest in steps() if word == "RUN" and "pip install" in rest]
    assert "--constraint constraints.txt" in install
    assert "--constraint constraints.txt" in SETUP
    own = next(one for one in PROJECT["project"]["optional-dependencies"]["test"] if one.startswith("gait-suite["))
    assert f'".{own.removeprefix("gait-suite")}"' in install


def test_everything_that_the_package_is_made_of_is_copied_and_nothing_else() -> None:
    copied = {name.rstrip("/") for word, rest in steps() if word == "COPY" for name in rest.split()[:-1]}
    assert copied == {"constraints.txt", "pyproject.toml", "setup.py", "README.md", "LICENSE", "gait", "data", *SCRIPTS}
    data = next(
        line for line in (REPOSITORY / "setup.py").read_text(encoding="utf-8").splitlines() if "DATA = " in line
    )
    patterns = [f"data/{pattern}" for pattern in ast.literal_eval(data.partition(" = ")[2])]
    needed = {file for pattern in (*copied, "gait/**/*", *patterns) for file in REPOSITORY.glob(pattern)}
    names = [str(file.relative_to(REPOSITORY)) for file in needed if file.is_file() and not built(file)]
    assert len(names) > 300
    assert [name for name in names if not is_sent(name)] == []
    others = (
        ".venv/bin/python",
        "demo_out/index.html",
        "recordings/P01.c3d",
        "my_cohort.json",
        "data/SUPR/licensed.npz",
    )
    assert not any(map(is_sent, others))


def test_it_is_run_without_rights_by_any_user() -> None:
    order = [word for word, _ in steps()]
    assert only("USER") == "gait"
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert only("ENTRYPOINT") == '["python", "-m"]'
    assert only("CMD") == '["shape_optimizer", "--help"]'
