"""Several tasks at a time, in processes of this computer or on a Dask cluster, and folders written whole or not."""
