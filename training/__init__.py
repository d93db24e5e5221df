"""The machinery of a run: the compiled loop, its folder, its files."""
