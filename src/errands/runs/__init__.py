"""The record of one start of a job: its states, progress, results and end.

Speaks to engines through ``django.tasks`` only; ``handover`` has the protocol.
"""
