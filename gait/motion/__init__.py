"""Movements on disk and in the common frame: from fitted poses to the windows that networks see.

In the order in which a recording goes through it:

* ``pose_files``: poses on disk, in and out; ``folder_names``: how their folders are called;
* ``resampling``, ``gait_set``: the joints of everyone's gaits at one rate, and how they were recorded; ``gait_source``
  says in a few words which they are, for other processes;
* ``folds``: which persons train and which are evaluated;
* ``windows`` with ``alignment``: windows of equal length, each put into the common frame when it is asked for.

Beside them ``gait_events``: when the feet meet the floor, and where somebody walks to; ``joint_angles``: how far joints
bend.
"""
