"""From fitted poses on disk to the windows that are the networks' input.

In the order in which a trial passes through:

* ``pose_files``: reads poses in any form (``pose_npz``, ``pose_frames``); ``trial_paths``: names of their folders;
* ``read_dataset``: reads the trials of a cohort (``dataset``), brought to one frame rate by ``resampling``;
* ``folds``: divides subjects into training and evaluation;
* ``window_placement``: where windows begin; ``inputs``: one module per kind of input (``window_input``), what a network
  sees of them, with ``walking_frame`` and ``rotation_samples``;
* ``windows``: windows of equal length; those of the published input are transformed by ``common_frame`` when they are
  requested.
"""
