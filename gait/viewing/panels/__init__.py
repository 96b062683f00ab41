"""The parts of the window. Each one draws the state of the viewer at ImGui's cursor and calls its actions.

* ``widgets``: buttons, sliders and texts, and the rectangle of each;
* ``control_panel``: trial, network, explanation, visible layers, messages;
* ``body_panel``: the 3D view with its colour bar, and the playback controls;
* ``timeline_panel``: heatmap of joints over time, stance, P(sick), curves of the selected joint;
* ``evidence_panel``: the findings beside the map, and what would change the decision;
* ``file_browser``: browsing for files, and the trials of a folder with their predictions;
* ``help_page``: keys, and the meaning of the colours.
"""
