"""Fixtures of the tests of pages."""

from tests.helpers.browser import browser

__all__ = ["browser"]
