"""What a worker takes next: from which queues, in which order, and with whom."""
