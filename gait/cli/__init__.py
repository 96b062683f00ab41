"""What command lines share: arguments and exit codes."""
