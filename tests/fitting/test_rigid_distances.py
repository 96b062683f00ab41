"""Test the comparison of distances between markers of a segment with their usual distances."""

import numpy as np

from gait.fitting.marker_quality.rigid_distances import RigidDistances

T, M = 60, 4
ROWS = np.arange(30, 50)
NEAR = ~np.eye(M, dtype=bool)
NONE = np.zeros((T, M), dtype=bool)


def segment(seed=0):
    """Return four markers (T, M, 3) of a segment that moves and turns, with 1 mm of soft-tissue motion."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2, T)
    rotation = np.zeros((T, 3, 3))
    rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(angle)
    rotation[:, 1, 0], rotation[:, 0, 1], rotation[:, 2, 2] = np.sin(angle), -np.sin(angle), 1
    at_rest = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.3, 0], [0.05, 0.1, 0.08]])
    path = np.stack([np.linspace(0, 2, T), np.zeros(T), np.zeros(T)], axis=1)
    return np.einsum("tij,mj->tmi", rotation, at_rest) + path[:, None] + rng.normal(0, 1e-3, (T, M, 3))


def test_partners_of_a_displaced_marker_disagree_with_it_and_agree_among_themselves():
    x = segment()
    x[ROWS, 0] -= [0.08, 0.08, 0.08]
    suspected = NONE.copy()
    suspected[ROWS, 0] = True
    distances = RigidDistances.measure(x, ~NONE, suspected, NEAR)
    assert distances.partners(0, ROWS, suspected) == ({1, 2, 3}, set())
    assert distances.partners(1, ROWS, suspected) == (set(), {2, 3})
    assert distances.partners(1, ROWS, NONE) == ({0}, {2, 3})


def test_partners_of_a_constant_segment_are_unchanged_even_without_good_frames():
    everywhere = ~NONE
    distances = RigidDistances.measure(segment(), everywhere, everywhere, NEAR)
    assert distances.partners(0, ROWS, NONE) == (set(), {1, 2, 3})


def test_partners_that_move_or_are_hidden_do_not_count():
    x = segment()
    x[:, 1] += np.linspace(0, 0.3, T)[:, None]  # on another segment
    visible = ~NONE
    visible[ROWS[:15], 2] = False
    distances = RigidDistances.measure(x, visible, NONE, NEAR)
    assert distances.partners(0, ROWS, NONE) == (set(), {3})
