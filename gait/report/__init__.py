"""Reports and figures.

* ``training``: the training report, written after every training;
* ``templates`` and ``render``: HTML and style of both pages; code only prepares their data;
* ``run``: the run report on fits, networks and attributions; ``python -m gait.report`` builds it;
* ``write_explanation_figures`` and ``explanation_figure``: figures of one trial's attributions;
* ``cohort_figure``: figure of a cohort's attributions;
* ``heatmaps``: heatmaps, colour bars and styles that these figures share;
* ``fit_figure``: the figure of a fit, with marker residuals and posed bodies.
"""
