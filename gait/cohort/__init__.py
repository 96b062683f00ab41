"""A cohort file to finished folders of poses: what ties the rooms together."""
