"""Compile the pose solver, and put the open body and the norms, which lie in ``data``, into the package of a wheel."""

import zlib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

DATA = ("SUPR/open_neutral.npz", "norms/*.csv", "norms/*.toml")
# Optional: without a compiler that knows vector types (GCC, Clang), torch solves, in three times the time.
SOURCE = Path("gait/fitting/solver/native_solver.c")
SOLVER = Extension(
    "gait.fitting.solver._native_solver",
    [str(SOURCE)],
    depends=["setup.py"],
    define_macros=[("SOURCE_CHECKSUM", f"{zlib.crc32(SOURCE.read_bytes())}u")],
    extra_compile_args=["-std=gnu11", "-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"],
    optional=True,
)


class BuildLibrary(build_ext):
    """Build the pose solver as a library for ctypes: with the name of a module, Python would import it as one."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return the file of an extension, relative to the root of the packages."""
        return f"{fullname.replace('.', '/')}.compiled"


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


setup(cmdclass={"build_ext": BuildLibrary, "build_py": BuildWithData}, ext_modules=[SOLVER])
