import numpy as np
import pytest

from gait.kinematics.gait_phases import PHASE_NAMES, gait_phases
from gait.kinematics.strides import Stride


def _stride(off: float, contact: float, own_off: float) -> Stride:
    return Stride("left", 1, 10.0, 210.0, 100.0, 10 + 2 * off, 10 + 2 * contact, 10 + 2 * own_off)


@pytest.mark.parametrize("strides", [[], [_stride(np.nan, np.nan, np.nan)], [_stride(15, 48, 66), _stride(11, 50, 60)]])
def test_phases_are_the_whole_cycle(strides):
    phases = gait_phases(strides)
    assert [phase.name for phase in phases] == list(PHASE_NAMES)
    covered = np.concatenate([np.arange(101)[phase.percents] for phase in phases])
    assert covered.tolist() == list(range(101))


def test_phases_begin_at_the_mean_events():
    phases = gait_phases([_stride(15, 48, 66), _stride(11, 50, 60)])
    assert [phase.first_percent for phase in phases] == [0, 13, 31, 49, 63, 75, 88]


def test_usual_phases_are_those_of_the_textbook():
    assert [phase.first_percent for phase in gait_phases([])] == [0, 12, 31, 50, 62, 75, 87]
