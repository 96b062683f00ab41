"""From a recording to the poses of a body that wore its markers, and how far they can be trusted.

In the order in which a person goes through it:

* ``person_fit``: all recordings of one person, in and out; ``weights`` says what each term of the objective is worth;
* ``rigid_start``, ``calibration``, ``posture``: shape, placement of the markers and posture, once a person;
* ``pose_course`` with ``solver``, ``smooth_course``, ``learned_pose``: a pose for every frame;
* ``held_frames``, ``confidence`` with ``placement_covariance``: which frames are held, and how well;
* ``faults``: what is wrong with the recording itself; ``fit_report``: what a user is told.

What all of them stand on: ``marker_skin`` (a body, cut down to what moves its markers), ``joint_turning``,
``marker_motion``, ``residuals`` and ``pose_equations`` (the objective, exact).
"""
