"""The model as it is."""

from __future__ import annotations

from xeo.engine.backends.call import Backend, Call, Request


def _prepare(request: Request) -> Call:
    model: Call = request.model
    return model


EAGER = Backend("eager", _prepare, devices=("cpu", "cuda"))
