"""Gait parameters: events, joint angles and spatio-temporal parameters, from joint positions.

* ``walking``: what the subject does in each frame: walking, standing, turning on the spot or sitting;
* ``gait_events``: initial contacts and foot offs, and the direction of progression;
* ``anatomical_frames``: axes of the segments, from joints and landmarks at rest;
* ``cardan_angles``: a rotation as three successive ones;
* ``joint_angles``: definitions and curves of the joint angles in three planes;
* ``segment_angles``: angles between joint centres, where only these are known;
* ``strides``: strides cut by events, curves over each of them, turns and outliers;
* ``spatiotemporal``: spatio-temporal parameters of each stride;
* ``symmetry``: differences of left and right;
* ``repeatability``: standard deviations between strides and between trials;
* ``angle_errors``, ``curve_errors``: standard errors of angles, and of curves over the gait cycle;
* ``trial_analysis``: all of these of a trial and of a subject;
* ``gait_cycle``: joint angles and any values per joint averaged over time-normalized gait cycles;
* ``normative_stride``: the mean stride of several subjects;
* ``norms``: curves and parameters of reference persons, with source and licence;
* ``published_speed_change``: how mean angles change with walking speed in a published norm;
* ``speed_norm``: a norm by walking speed from own controls, with bands for whole curves;
* ``controls``: curves of controls, by pace, from the analysis of subjects;
* ``gdi_reference``: the GDI's reference from own controls;
* ``scores``: GVS, GPS, GDI against a norm, and what walking speed explains;
* ``norm_comparison``: a subject's curves beside a norm, and where they leave it beyond their error;
* ``curve_comparison``: differences of curves of two measurements or groups, and their significance;
* ``gait_features``: scalars of a trial from these, for the baseline classifier.
"""
