"""Ties explaining and viewing together: the window asks, and the rooms before it open, explain and compare.

* ``workbench``: gaits, networks and explanations for the window;
* ``viewing_run``: the viewer as a command runs it: a window, or pictures and films without one;
* ``healthy_mean``: the mean healthy walker of a folder of fitted gaits.
"""
