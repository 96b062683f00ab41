"""Put the open body and the norms, which lie in ``data`` of the checkout, into the package when a wheel is built."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DATA = ("SUPR/open_neutral.npz", "norms/*.csv", "norms/*.toml")


class BuildWithData(build_py):
    """Copy the data beside the modules; an editable installation reads them in the checkout."""

    def run(self) -> None:
        """Build the package."""
        super().run()
        if self.editable_mode:
            return
        for pattern in DATA:
            for file in sorted(Path("data").glob(pattern)):
                target = Path(self.build_lib) / "gait" / file
                self.mkpath(str(target.parent))
                self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithData})
