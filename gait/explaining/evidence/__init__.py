"""Evidence beside an explanation: what a decision relies on, whether the subject deviates there, what would change it.

* ``finding``: what is found of one decision, as data;
* ``motions``: which joint angle shows what a network sees of a joint; ``measured_walk``: curves of both of a trial;
* ``controls``, ``find_cohort``: whom a trial is compared with; ``norm_at_speed``: their bands at a walking speed;
* ``phase_attribution``: attribution over the gait cycle; ``verdicts``: the rules;
* ``trial_faithfulness``: deletion on one trial;
* ``counterfactual``: the smallest change after which the network decides otherwise; its parts are ``cycle_motion``
  (motions as harmonics of the cycle), ``control_motion``, ``motion_windows`` (gradients through the network),
  ``smallest_change``, ``changed_walk`` (poses with the feet on the floor), and ``blind_spots``;
* ``explained_walk``: a trial as the network decides it, with what its evidence is computed from;
* ``find_findings``: its findings; ``compute_evidence``: all of its evidence;
* ``evidence_files``, ``export_evidence``: the files of evidence, and both for a command.
"""
