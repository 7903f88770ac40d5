"""Ways to call one model: as it is, or by what runs the same numbers faster.

Which one is the fastest depends on model, machine and size; `choose` measures, `runner` calls.
"""

from xeo.engine.backends.choice import Choice, Trial
from xeo.engine.backends.measure import choose
from xeo.engine.backends.running import Runner, identity, out_of_memory, runner
from xeo.engine.backends.table import TABLE, check

__all__ = [
    "TABLE",
    "Choice",
    "Runner",
    "Trial",
    "check",
    "choose",
    "identity",
    "out_of_memory",
    "runner",
]
