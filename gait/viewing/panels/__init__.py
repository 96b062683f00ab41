"""The parts of the window. Each takes the session, draws itself where it is told, and does what its controls say.

* ``controls``: buttons, sliders and texts, and where each was drawn;
* ``control_panel``: gait, network, explanation, what is shown;
* ``view_panel``: the body, the colour bar, the mouse in it; what plays below;
* ``map_panel``: joints by time, stance, probability, curves of the joint chosen;
* ``open_panel``: browsing for files, and a folder of gaits with verdicts;
* ``help_page``: every key, and how to read the colours.
"""
