"""Networks that tell healthy from sick gait, their training, and how well they do on persons they never saw.

In the order in which a command goes through it:

* ``training_flags``, ``cross_validation``: what both scripts ask for, and the folds that they train;
* ``fold_run`` with ``fold_result``: one fold, trained, measured and written down;
* ``training`` with ``ranks``: epoch by epoch, in one process or in several;
* ``checkpoint`` with ``architecture`` and ``saved_module``: networks on disk, also published ones;
* ``predictions``, ``metrics``: what was said about whom, and how good that is;
* ``baselines`` with ``gait_features``: what simpler means make of the same persons;
* ``leak_check``: whether the label can be told from what should not matter;
* ``report``: what a user is told.

The networks: ``transformer``, which stands on ``row_parts``, ``feed_forward`` and ``dropout``, and ``mlp``; both start
as ``first_weights`` has it.
"""
