"""Networks that tell healthy from sick gait, their training, and how well they do on persons they never saw."""
