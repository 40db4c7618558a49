"""What a task is: ``@task``, its options, and one attempt at running it.

Nothing here knows how tasks are stored or delivered; engines do.
"""
