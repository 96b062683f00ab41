"""From fitted poses on disk to the windows that are the networks' input.

In the order in which a trial passes through:

* ``pose_files``: reads and writes poses; ``trial_paths``: names of their folders;
* ``dataset``: reads the trials of a cohort, brought to one frame rate by ``resampling``;
* ``folds``: divides subjects into training and evaluation;
* ``windows``: windows of equal length, each transformed by ``common_frame`` when it is requested.
"""
