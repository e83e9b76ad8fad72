"""The definitions that a user edits, and the stage that applies them."""
