"""Pictures, films and windows of bodies in motion.

What there is to draw, and how:

* ``scene``: bodies, balls, lines and a floor, not knowing how they are drawn;
* ``camera``: where a picture is taken from; ``colours``: scales and colours with a meaning;
* ``renderer``: draws a scene with OpenGL; ``offscreen``: without a screen; ``png``: a page as a file.

Pages and pictures that are written:

* ``fit_picture``: beside a fit; ``row_of_bodies``: moments of a walk side by side;
* ``explained_bodies``, ``importance_maps``, ``explanation_picture``, ``cohort_picture``: of explanations;
* ``time_columns``: a course over as many columns as a picture has.

The window, from what it shows to where it stands:

* ``shown_gait``: a fitted gait with all that can be drawn of it; ``explained_gait``: an explanation laid on it;
* ``skin_course``: its skin, worked out ahead; ``in_step``: a second walker beside it;
* ``gait_scene``: all of these as a scene; ``map_texture``: joints by time; ``angle_words``: angles beside joints;
* ``workbench``: what the window asks of the rooms before it; ``jobs``: work beside the drawing;
* ``session``: what is looked at, and everything that can be done with it;
* ``gui``: ImGui and its relatives, loaded when they are needed; ``panels``: the parts of the window;
* ``window_contents``: all parts together, and the keys;
* ``stage``: a window without a screen; ``screen_stage``: one on it; ``film``: pictures and films of it.
"""
