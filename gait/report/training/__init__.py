"""The training report: one page, metrics as JSON, predictions as CSV, TensorBoard logs."""
