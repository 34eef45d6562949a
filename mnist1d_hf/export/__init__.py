"""Folders of Parquet files: built, stopped and continued, checked, repaired."""
