"""Explanation of trained networks: attribution of their output to joints and frames, and how faithful it is.

In the order in which they are used:

* ``trained_network``: reads a network with what an explanation needs; ``prepare_trial``: makes a trial its input;
* ``options``: command line options of both;
* ``methods``: one module per method (``method``), with ``lrp_mlp`` and ``lrp_transformer``;
* ``attribution``: what every method returns, for windows and for a trial; ``explain_trial``: computes it for a trial;
* ``group_attribution``: averages over the subjects of a cohort; ``vertex_attribution``: maps to a body's surface;
* ``attribution_files``: reads and writes the attribution of a trial;
* ``evidence``: what stands behind an explanation: deviation, error, and what would change the decision;
* ``faithfulness``: measures whether the output depends on what an attribution marks.
"""
