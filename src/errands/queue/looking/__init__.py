"""What reads rows and changes none: one result, a list, how much waits, what is left."""
