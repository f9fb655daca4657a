"""`python without_traces.py FOLDER` writes a gateway without the code of traces that every call passes.

The gateway is a copy of `feature_gateway` in FOLDER and the program FOLDER/feature-gateway, which runs it. It shows
what traces cost while they are off.
"""

import shutil
import sys
from pathlib import Path

import feature_gateway

_SITES = {
    "coalescing/coalescer.py": (
        ("        span = current_call.get()\n", ""),
        ("Waiter(key, deadline, now, outcome, span)", "Waiter(key, deadline, now, outcome)"),
    ),
    "coalescing/batch.py": (
        ("        if waiter.span is not None:\n            self.traced = True\n", ""),
        ('    span: "CallSpan | None" = None\n    """The span of its call; None if that is not sampled."""\n', ""),
    ),
    "coalescing/batch_reads.py": (
        (
            """        if not batch.traced:
            return await self._read(batch, keys)
        with reading(batch.askers_of(keys), rows=len(batch.rows_of(keys))):
    """,
            "",
        ),
    ),
    "upstream/origin.py": (
        (
            "        read = current_read.get()\n        if read is not None:\n            head += read.headers\n",
            "",
        ),
    ),
    "upstream/replica.py": (
        (
            "        read = current_read.get()\n        if read is not None:\n            read.sent(self.server.url)\n",
            "",
        ),
    ),
    "metrics.py": (
        (
            "            if span is not None:\n                duration.exemplify(elapsed_s, trace_id=span.trace_id)\n",
            "",
        ),
        ("        if span is not None:\n            span.end(code, reason)\n", ""),
    ),
    "grpc_api/guard.py": (
        (
            """            span = traced.begin(context.invocation_metadata() or ()) if traced is not None else None
            if span is not None:
                # To the end of the task, which is the call's own.
                current_call.set(span)
""",
            "",
        ),
        ("time.perf_counter() - started, span=span, **", "time.perf_counter() - started, **"),
    ),
    "grpc_api/direct_calls.py": (
        ('"_question", "_span", "_until"', '"_question", "_until"'),
        ("        self._span = span\n", ""),
        ("elapsed_s, span=self._span, **", "elapsed_s, **"),
        ("        span = self._traced.begin(metadata) if self._traced is not None else None\n", ""),
        ("        if span is None:\n            return self._asked", "        return self._asked"),
    ),
}
"""What is taken out of each file, and what is there instead."""

_PROGRAM = """#!{python}
import sys
sys.path.insert(0, {folder!r})
from feature_gateway.__main__ import main
main()
"""


def main() -> None:
    """Write the copy."""
    folder = Path(sys.argv[1]).resolve()
    copy = folder / "feature_gateway"
    shutil.copytree(Path(feature_gateway.__file__).parent, copy, dirs_exist_ok=True)
    for name, sites in _SITES.items():
        text = (copy / name).read_text()
        for there, instead in sites:
            if there not in text:
                sys.exit(f"{name} has changed: it has no {there!r}.")
            text = text.replace(there, instead)
        (copy / name).write_text(text)
    program = folder / "feature-gateway"
    program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o755)


if __name__ == "__main__":
    main()
