"""From a recording to the poses of a body that wore its markers, and how far they can be trusted."""
