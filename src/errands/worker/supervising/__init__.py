"""The worker command's own process, and the children it starts, watches and replaces."""
