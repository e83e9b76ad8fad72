"""Serving: the champion behind HTTP, every prediction logged."""
