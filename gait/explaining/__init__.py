"""What was pivotal for a network: importance of joints and frames, and how faithful it is.

* ``importance``: what every method gives, of windows and of a whole recording;
* ``methods``: all of them by name.
"""
