"""Where a replay's minutes come from: LEAN folders, CSV and Parquet, or the generator; each day as columns."""
