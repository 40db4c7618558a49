"""A Django app of the tests: label ``testapp``."""
