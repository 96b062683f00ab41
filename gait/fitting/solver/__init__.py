"""A fast solver for the poses of many frames at once.

* ``pose_solver``: what the fit calls; it chooses between the two implementations;
* ``native``: the compiled one, ``native_solver.c``;
* ``levenberg_marquardt``: that of torch, the iteration;
* ``batched_normal_equations``: the objective with its gradient and curvature, in single precision;
* ``block_solver``: the solution of one step, limb by limb, on the blocks of ``kinematic_blocks``;
* ``frame_data``: input and poses of the solver; ``quaternions``: its rotations.

``gait.fitting.reference_normal_equations`` is the same objective in its readable form, exact and term by term.
"""
