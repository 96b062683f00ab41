"""The viewer: rendering of bodies in motion, and the window. Its parts in order of dependence:

Rendering:

* ``scene``: the objects to draw; ``camera``; ``colours``: colour scales and shared colours;
* ``shaders``: light, hatching, floor and shadow, also of pages;
* ``renderer``: renders a scene with OpenGL; ``offscreen_renderer``: the same without a screen; ``png``: fast PNG files;
* ``body_row``: several bodies side by side; ``downsample``: time series by pixel columns.

Content of the window:

* ``loaded_trial``: a fitted trial; ``attribution_overlay``: an attribution on its frames;
* ``mesh_cache``: body meshes, computed ahead; ``phase_sync``: a second trial in the same phase of the gait cycle;
* ``actor``: a trial with its body in every frame; ``load_control_stride``: the mean stride of the controls of a folder;
* ``build_scene``: all of these as a scene.

The window:

* ``file_backend``: data source of the window: trials, networks and explanations;
* ``background_jobs``: work in a thread; ``viewer_state``: the state of the viewer and every action of its controls;
* ``lazy_imgui``: ImGui, imported when needed; ``panels``: the parts of the window; ``main_window``: their layout, keys;
* ``offscreen_window``, ``glfw_window``: the window without and on a screen;
* ``video``: screenshots, image sequences and videos of it;
* ``run_viewer``, ``viewer_arguments``: the entry point of attention_viewer.py, and its flags.
"""
