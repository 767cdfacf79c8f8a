"""Python scripts of the tools. They run as modules from the root of the repository: `python -m tools.experiments.results`."""
