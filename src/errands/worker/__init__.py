"""The process that runs tasks: a supervisor, its children, their threads."""
