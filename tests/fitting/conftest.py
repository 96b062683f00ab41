"""Fixtures of the tests of fits: the open body, its Plug-in Gait markers, and one short recording of them."""

import pytest

from gait.body.marker_placement import plug_in_gait_layout
from gait.synthetic import MeasurementErrors
from tests.helpers.fitting_cases import record_trial, short_trial


@pytest.fixture(scope="session")
def body(open_body):
    return open_body


@pytest.fixture(scope="session")
def layout(open_body):
    return plug_in_gait_layout(open_body)


@pytest.fixture(scope="session")
def recording(open_body, layout):
    return record_trial(open_body, short_trial(open_body, seconds=1.6), layout, MeasurementErrors(gap_fraction=0.0))
