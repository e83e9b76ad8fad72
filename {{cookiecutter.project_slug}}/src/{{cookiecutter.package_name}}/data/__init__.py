"""From the source to clean, split tables."""
