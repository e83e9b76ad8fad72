"""What the README claims, measured: one module, one command each."""
