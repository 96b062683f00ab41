"""Shared by all command lines: arguments and exit codes."""
