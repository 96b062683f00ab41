"""Lazy import of captum, an optional dependency."""

from __future__ import annotations

from typing import Any

from gait.errors import GaitError


def captum_attr(method: str) -> Any:
    """Import and return ``captum.attr``.

    Args:
        method: name of the explanation method that needs it, for the error message.

    Raises:
        GaitError: captum is not installed.
    """
    try:
        import captum.attr
    except ImportError:
        raise GaitError(
            f"{method} needs captum, which is not installed: pip install 'gait-suite[explain]', or give another "
            "--method."
        ) from None
    return captum.attr
