"""The one error a user may see: a plain line saying what, where, what there was instead, what to do."""


class GaitError(Exception):
    """A wrong input. ``str(error)`` is one plain line, fit to be shown to a person without a traceback.

    Every room raises this class or a subclass of its own for anything a user can cause; a script prints
    the line and goes on (one gait of a cohort) or ends with exit code 2 (the command line itself).
    """
