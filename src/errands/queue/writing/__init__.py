"""What writes rows: who enqueues, settles or intervenes, and who deletes old results."""
