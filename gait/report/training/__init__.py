"""What a clinician and a reviewer see after training: one page, figures as JSON, TensorBoard."""
