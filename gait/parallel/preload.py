"""Imports the libraries of the workers in the server process from which they are forked.

The server imports this module; the environment names the module that it imports in turn. Garbage collection takes a
tenth of the time of imports, which leave no garbage; what is imported stays, so later collections need not look at it,
and workers share its memory.
"""

from __future__ import annotations

import gc
import importlib
import os

PRELOAD_VARIABLE = "GAIT_PRELOAD"
"""Environment variable with the name of the module."""

if name := os.environ.get(PRELOAD_VARIABLE):
    gc.disable()
    importlib.import_module(name)
    gc.freeze()
    gc.enable()
