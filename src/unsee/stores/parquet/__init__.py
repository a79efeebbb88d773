"""Parquet files as objects, their rows as members."""
