"""The version of this package, importable from every package."""

VERSION = "0.1.0"
