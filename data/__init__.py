"""Data sets: one folder for each, `registry` with all of them, and the code that prepares them."""
