"""Ties explaining and viewing together: the window asks, and the rooms before it open, explain and compare.

* ``workbench``: gaits, networks and explanations for the window;
* ``healthy_mean``: the mean healthy walker of a folder of fitted gaits.
"""
