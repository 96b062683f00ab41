"""Labels of laboratories' events, by their many names."""

import pytest

from gait.capture.event_labels import parse_event_label


@pytest.mark.parametrize(
    ("label", "context", "kind", "side"),
    [
        ("Foot Strike", "Left", "initial contact", "left"),
        ("Foot Off", "Right", "foot off", "right"),
        ("LHS", "", "initial contact", "left"),
        ("RTO", "General", "foot off", "right"),
        ("RHS", "Left", "initial contact", "left"),
        ("HS_L", "", "initial contact", "left"),
        ("IC", "R", "initial contact", "right"),
        ("RightToeOff", "", "foot off", "right"),
        ("FootStrikeLeft", "", "initial contact", "left"),
        ("left_heel_strike", "", "initial contact", "left"),
        ("TO", "Right", "foot off", "right"),
        ("Contatto iniziale", "dx", "initial contact", "right"),
        ("Zehenablösung links", "", "foot off", "left"),
        ("Décollement du pied", "Gauche", "foot off", "left"),
        ("Left-FP", "", None, "left"),
        ("Event", "", None, ""),
        ("", "", None, ""),
        ("Right", "", None, ""),
    ],
)
def test_parse_event_label(label, context, kind, side):
    assert parse_event_label(label, context) == (kind, side)
