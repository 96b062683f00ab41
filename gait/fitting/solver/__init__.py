"""Poses of many frames at once, as fast as they can be found: equations, their solution, and the rotations they hold.

``pose_solver`` steps, ``frame_equations`` is what it minimises, ``limb_equations`` solves a step limb by limb
(``limbs``), ``turns`` are its rotations. ``gait.fitting.reference_normal_equations`` is the same objective, exact and term by term.
"""
