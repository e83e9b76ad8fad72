"""Sources of raw data: `ingest.source` in params.yaml names a module of this folder.

A new one, such as `warehouse.py`, needs no other edit: a class `Options` (a Section: its own keys
in the section `ingest`) and a function `partitions(options, seed, paths)` that yields a Partition
for every file of data/raw.
"""
