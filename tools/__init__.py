"""The project's own commands: run the notebooks, check them, run every test."""
