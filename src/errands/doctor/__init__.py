"""What makes a queue fail in production, looked for in the running system."""
