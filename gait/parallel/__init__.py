"""Run independent tasks in parallel: in processes on this computer or on a Dask cluster."""
