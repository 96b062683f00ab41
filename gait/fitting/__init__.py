"""Fit a body model to the markers of a subject's trials: shape, marker offsets, poses, and their uncertainty.

In the order of the fit:

* ``fit_recordings``: all trials of one subject, without the errors in the marker data (``marker_quality``);
* ``subject_fit``: the same without this control; ``residual_scales``: the expected size of each residual;
* ``rigid_initialization``, ``calibration``, ``posture_and_vposer``: shape, offsets and posture, once per subject;
* ``pose_trajectory`` with ``solver``, ``trajectory_smoothing``, ``posture_and_vposer``: a pose for every frame;
* ``valid_frames``, ``joint_uncertainty`` with ``offset_covariance``: usable poses and their accuracy;
* ``fit_report``: a summary of each trial.

The objective is in ``objective_terms`` and, exact and readable, in ``reference_normal_equations``. It is built on
``reduced_body`` (the body at its markers), ``joint_parametrization`` and ``marker_kinematics``.
"""
