"""Jobs: classes a person starts, waits for, and gets something back from.

``job`` is what people write, ``launch`` the click, ``perform`` the worker's
side, ``state`` and ``views`` what the person sees.
"""
