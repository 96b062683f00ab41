"""Put the open body, which lies in ``data/SUPR`` of the checkout, into the package when a wheel is built."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BODY = Path("data/SUPR/open_neutral.npz")


class BuildWithOpenBody(build_py):
    """Copy the body beside the modules; an editable installation reads it in the checkout."""

    def run(self) -> None:
        """Build the package."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "gait" / BODY
            self.mkpath(str(target.parent))
            self.copy_file(str(BODY), str(target))


setup(cmdclass={"build_py": BuildWithOpenBody})
