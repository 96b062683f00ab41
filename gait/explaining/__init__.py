"""What was pivotal for a network: importance of joints and frames, and how faithful it is.

In the order in which a question goes through it:

* ``explained_network``: a trained network with all that an explanation needs of it;
* ``methods``: all of them by name: ``attention``, ``lrp_mlp``, ``lrp_transformer``, ``gradients``, ``occlusion``; some
  need captum, which ``captum_extra`` loads when it is asked for;
* ``importance``: what every method gives, of windows and of a whole recording; ``recordings`` asks about the latter;
* ``gait_cycle``: importance and joint motion over the gait cycle; ``cohort_view``: the same over many persons;
* ``body_importance``: importance on the skin;
* ``explanation_files``: an explanation on disk, in and out;
* ``faithfulness``: how far a method can be believed.
"""
