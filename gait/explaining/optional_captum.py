"""Captum, loaded when a method that needs it is asked for."""

from __future__ import annotations

from typing import Any

from gait.errors import GaitError


def captum_attr(method: str) -> Any:
    """The module ``captum.attr``.

    Raises:
        GaitError: it is not installed.
    """
    try:
        import captum.attr
    except ImportError:
        raise GaitError(
            f"{method} needs captum, which is not installed: pip install 'gait-suite[explain]', or give another "
            "--method."
        ) from None
    return captum.attr
