"""The one error a user may see: a plain line saying what, where, what there was instead, what to do."""

_LONGEST_LINE = 4000


class GaitError(Exception):
    """A wrong input. ``str(error)`` is one plain line, fit to be shown to a person without a traceback.

    Every room raises this class or a subclass of its own for anything a user can cause; a script prints
    the line and goes on (one gait of a cohort) or ends with exit code 2 (the command line itself). What a
    file put into the line (line breaks, terminal codes, broken text) is shown escaped, an endless line cut.
    """

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) > _LONGEST_LINE:
            text = text[:_LONGEST_LINE] + " ..."
        if text.isprintable():
            return text
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
