"""Reports and figures.

* ``training``: the training report, written after every training;
* ``templates`` and ``render``: HTML and style of all pages; code only prepares their data;
* ``gait``: pages and tables of the gait analysis of each subject, comparisons, and the cohort;
* ``run``: the run report on fits, networks and attributions; ``python -m gait.report`` builds both;
* ``write_explanation_figures`` and ``explanation_figure``: figures of one trial's attributions;
* ``cohort_figure``: figure of a cohort's attributions;
* ``heatmaps``: heatmaps, colour bars and styles that these figures share;
* ``fit_figure``: the figure of a fit, with marker residuals and posed bodies.
"""
