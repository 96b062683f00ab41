"""The statistical body: model files, shape and pose, pose priors, marker placement."""
