"""Python scripts of the tests. They run as modules from the root of the repository: `python -m tests.parity.compare`."""
