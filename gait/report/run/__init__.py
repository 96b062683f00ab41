"""The run report: one page on fits, networks and attributions."""
