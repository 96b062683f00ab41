"""Pictures, films and windows of bodies in motion."""
