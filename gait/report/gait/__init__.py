"""Pages of a gait analysis: one per subject, comparisons, and the cohort; the same as tidy tables.

* ``build``: reads the fits, writes all pages and tables; ``python -m gait.report`` calls it;
* ``measured_subject``: the gait analysis of a subject's fitted trials, and their fit reports;
* ``subject_page``, ``cohort_page``: data of the templates ``subject.html.jinja`` and ``cohort.html.jinja``;
* ``curve_grid``: which angle is shown where, on which axis; ``svg_chart`` draws it;
* ``tables``: analyses as rows, in CSV and JSON files.
"""
