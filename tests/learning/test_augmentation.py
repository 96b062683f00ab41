"""Offsets, pace and individuality of training windows: whatever the label, and repeatable."""

import numpy as np
import pytest
import torch

from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES
from gait.learning.augmentation import MAX_FACTOR, MIN_FACTOR, Augmentation, window_excursions
from gait.learning.training_arguments import TrainingSettings
from gait.motion.windows import WindowDataset, fit_reference
from tests.helpers.motion_cases import make_trial, stick_figure, swinging_rotations

LENGTH = 100
ALL = slice(None)


@pytest.fixture(scope="module", params=["rotations", "bones"])
def windows(request):
    trials = [
        make_trial(
            stick_figure(400, phase=phase, height=1.0 - 0.2 * sick),
            f"P{phase}",
            sick=sick,
            axis_angle=swinging_rotations(400, phase=phase),
        )
        for phase, sick in ((0.3, False), (1.5, True))
    ]
    options = {"input": request.param, "windows": "cycles", "left_out": [Joint.HEAD]}
    reference = fit_reference(trials, LENGTH, factor=5.0, **options)
    return WindowDataset(trials, LENGTH, reference=reference, **options)


def drawn(augmentation, batch, seed=0):
    return augmentation.draw(batch, torch.Generator().manual_seed(seed))


def test_excursion_is_that_of_the_ankles_in_leg_lengths(windows):
    found = window_excursions(windows)
    trial = windows.trials[0]
    first, frames = int(windows.first_frame[0]), round(LENGTH * windows.frames_per_sample[0])
    expected = []
    for side in SIDES:
        curve = trial.joints_m[:, Joint[f"{side.upper()}_ANKLE"], 0] - trial.joints_m[:, Joint.PELVIS, 0]
        expected.append(np.ptp(curve[first : first + frames]) / 0.8)
    assert float(found[0]) == pytest.approx(np.mean(expected), rel=1e-3)
    assert found[~windows.sick].mean() == pytest.approx(float(found[windows.sick].mean()), rel=0.05)  # of any height


def test_offsets_are_constant_over_a_window(windows):
    augmentation = Augmentation(windows, TrainingSettings(offset=0.1))
    batch = torch.arange(len(windows))
    change = augmentation.batch(batch, drawn(augmentation, batch), ALL, "cpu") - windows.batch(batch)
    assert (change - change[:, :1]).abs().max() < 1e-5
    assert (change[:, :, Joint.HEAD] == 0).all()
    used = [joint for joint in range(22) if joint != Joint.HEAD]
    assert change[:, 0, used].std() == pytest.approx(0.5, rel=0.15)  # five times the offset
    none = Augmentation(windows, TrainingSettings(offset=0.0))
    torch.testing.assert_close(none.batch(batch, drawn(none, batch), ALL, "cpu"), windows.batch(batch))


def test_pace_brings_windows_to_a_fraction_of_the_controls_excursion(windows):
    augmentation = Augmentation(windows, TrainingSettings(offset=0.0, pace=(0.5, 0.5)))
    batch = torch.arange(len(windows))
    numbers = drawn(augmentation, batch)
    excursion = window_excursions(windows)
    torch.testing.assert_close(numbers.factor, 0.5 * excursion[~windows.sick].mean() / excursion)
    assert ((numbers.factor >= MIN_FACTOR) & (numbers.factor <= MAX_FACTOR)).all()
    values = windows.input.pace(windows.values(batch), numbers.factor, numbers.random)
    seen = augmentation.batch(batch, numbers, ALL, "cpu")
    torch.testing.assert_close(seen, windows.network_input(values))
    part = slice(1, None, 2)  # of another process
    torch.testing.assert_close(augmentation.batch(batch[part], numbers, part, "cpu"), seen[part])
    assert (seen - windows.batch(batch)).abs().max() > 0.1


def test_individuality_adds_a_multiple_of_the_deviation_of_a_control(windows):
    augmentation = Augmentation(windows, TrainingSettings(offset=0.0, individuality=2.0))
    batch = torch.arange(len(windows)).repeat(50)
    numbers = drawn(augmentation, batch)
    assert set(numbers.others.tolist()) == set((~windows.sick).nonzero().flatten().tolist())
    assert numbers.multiples.abs().max() <= 2
    assert float(numbers.multiples.mean()) == pytest.approx(0, abs=0.15)
    assert float(numbers.multiples.std()) == pytest.approx(4 / 12**0.5, rel=0.1)  # uniform from -2 to 2
    seen = augmentation.batch(batch, numbers, ALL, "cpu")
    added = numbers.multiples * windows.batch(numbers.others)
    torch.testing.assert_close(seen - windows.batch(batch), added, atol=1e-5, rtol=1e-4)
    part = slice(1, None, 2)  # of another process
    torch.testing.assert_close(augmentation.batch(batch[part], numbers, part, "cpu"), seen[part])
    assert drawn(Augmentation(windows, TrainingSettings(individuality=0.0)), batch).others is None
