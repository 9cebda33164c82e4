"""The measuring side of a worker process; standard library only, since it also runs inside the peers' environments.

A worker prints one JSON line when it is ready, then one more for every line on its standard input. Idle workers cost
nothing, so several can be set up once and then measured in turns.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def timed(segment: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What `segment` returns, with its wall and processor time and the process's peak memory so far."""
    wall, processor = time.perf_counter(), time.process_time()
    result = segment()
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - processor}
    return {**spent, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **result}


def serve(first: Callable[[], Mapping[str, Any]], segments: Mapping[str, Callable[[], Mapping[str, Any]]]) -> None:
    """Run `first`, then the segment that each line of standard input names, until there are no more lines."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes to standard error
    replies.write(json.dumps(timed(first)) + "\n")
    for line in sys.stdin:
        replies.write(json.dumps(timed(segments[line.strip()])) + "\n")
