"""What a person sees of a run; who may see it is decided in ``access``."""
