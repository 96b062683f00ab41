"""Text for display."""

import math

from gait.text import format_number, natural_key, pluralize, printable, truncate, with_true_minus


def test_natural_key_sorts_numbers_by_value():
    assert sorted(["P10", "P2", "a", "P2b", "P"], key=natural_key) == ["P", "P2", "P2b", "P10", "a"]


def test_printable_replaces_control_characters():
    assert printable("a\x1b[31m\u202eb\ud800") == "a□[31m□b□"


def test_truncate_keeps_both_ends():
    assert truncate("abcdefghij", 10) == "abcdefghij"
    assert truncate("abcdefghijk", 6) == "abc…jk"
    assert truncate("abcdefghijk", 7) == "abc…ijk"


def test_minus_signs_stand_before_numbers_alone() -> None:
    assert with_true_minus("-18° to -0°, -0.0 and -0.4, P-1, mid-swing, 2026-01-02") == (
        "−18° to 0°, 0.0 and −0.4, P-1, mid-swing, 2026-01-02"
    )


def test_format_number_has_a_minus_sign_and_no_negative_zero() -> None:
    assert format_number(-1.26, 1) == "−1.3"
    assert format_number(-0.04, 1, signed=True) == "0.0"
    assert format_number(0.26, 1, signed=True) == "+0.3"
    assert format_number(math.nan, 1) == "–"


def test_pluralize_groups_thousands() -> None:
    assert [pluralize(n, "window") for n in (0, 1, 1205)] == ["0 windows", "1 window", "1,205 windows"]
