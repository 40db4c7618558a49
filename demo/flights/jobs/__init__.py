"""What the demo does outside of requests. Every module here holds jobs."""
