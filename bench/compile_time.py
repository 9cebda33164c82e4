"""How long JAX took to trace, lower and compile the largest program of a process: the training program."""

import jax

KINDS = ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration", "backend_compile_duration")
_longest = dict.fromkeys(KINDS, 0.0)


def watch() -> None:
    """Start to listen; call it before anything is compiled."""

    def heard(event: str, seconds: float, **_: object) -> None:
        kind = event.rpartition("/")[2]
        if kind in _longest:
            _longest[kind] = max(_longest[kind], seconds)

    jax.monitoring.register_event_duration_secs_listener(heard)


def compile_s() -> dict[str, float]:
    """Seconds of tracing, lowering and compiling, and their sum."""
    return {"compile_s": sum(_longest.values())}
