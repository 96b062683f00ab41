"""Read arrays without running code; write files and folders atomically; locks and fingerprints."""
