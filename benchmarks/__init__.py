"""Measurements of the README's claims: one module, one command each."""
