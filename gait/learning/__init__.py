"""Networks that classify gait as healthy or sick: their training, and their evaluation on held-out subjects.

In the order in which a training uses them:

* ``training_arguments``, ``cross_validation``: the flags of a training, and the folds that it trains;
* ``fold_spec``, ``train_fold``, ``fold_result``: one fold, its inputs and files; trained, evaluated and saved;
* ``trainer``, ``distributed``: the epochs of a training, in one process or in several;
* ``checkpoint``, ``legacy_keys``: networks on disk, also published ones and those of earlier versions;
* ``predictions``, ``metrics``: the probabilities of windows and subjects, and metrics with intervals;
* ``matched_speed``: ROC AUC of patients and controls who walk at the same speed;
* ``baselines``: simpler classifiers on the same subjects;
* ``confounder_check``: whether the label can be predicted without gait.

The networks are the modules of ``networks``; each describes itself by a ``network.Network`` and starts from the weights
of ``initialization``. ``parallel_rows``, ``feed_forward`` and ``dropout`` are fast parts of the ``transformer``, and
``reference_transformer`` is its readable form. The training command, which also writes the report, is
``gait.report.training.command``.
"""
