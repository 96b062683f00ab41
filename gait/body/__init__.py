"""The statistical body: its file, its shape and pose, its priors, and where markers sit on it."""
