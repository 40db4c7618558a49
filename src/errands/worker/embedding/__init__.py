"""A worker that lives with the process that serves the site."""
