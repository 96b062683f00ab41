"""Ties explaining and viewing together: the window asks, and the rooms before it open, explain and compare.

* ``workbench``: gaits, networks and explanations for the window;
* ``viewing_run``: the viewer as a command runs it: a window, or pictures and films without one;
* ``viewing_flags``: what the command line says of the view;
* ``healthy_mean``: the mean healthy walker of a folder of fitted gaits;
* ``network_recording``: a fitted gait as a network takes it;
* ``explanation_export``: explanations of a gait as files and pictures; ``cohort_export``: those of a cohort.
* ``whole_run``: a whole run told on one page, as ``__main__`` is asked for it: ``fitted_cohort`` reads the fits,
  ``side_by_side`` films two persons, ``story`` is what there is to tell and ``story_page`` the page, with
  ``told_apart_section``, ``story_parts`` and ``story_style``;
  ``finished_steps`` lets a second run find its work done.
"""
