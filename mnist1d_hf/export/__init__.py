"""Folders of Parquet files: written whole or shard by shard, checked, repaired."""
