"""Networks that classify gait as healthy or sick: their training, and their evaluation on held-out subjects.

In the order in which a training uses them:

* ``training_arguments``, ``cross_validation``: the flags of both scripts, and the folds that they train;
* ``train_fold``, ``fold_result``: one fold, trained, evaluated and saved;
* ``trainer``, ``distributed``: the epochs of a training, in one process or in several;
* ``checkpoint``, ``architecture``, ``legacy_module``, ``old_names``: networks on disk, also published ones and those of
  earlier versions;
* ``predictions``, ``metrics``: the probabilities of windows and subjects, and metrics with intervals;
* ``baselines``: simpler classifiers on the same subjects;
* ``confounder_check``: whether the label can be predicted without gait.

The networks: ``transformer`` (with ``parallel_rows``, ``feed_forward`` and ``dropout``; in readable form in
``reference_transformer``) and ``mlp``. Both start from the weights of ``initialization``.
"""
