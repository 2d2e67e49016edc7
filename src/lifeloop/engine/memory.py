"""How much memory this process has needed at most."""

import resource
from pathlib import Path


def peak_mb() -> float:
    """Return the peak resident memory of this process, in megabytes.

    Linux counts what the parent held at the fork into `ru_maxrss`; VmHWM begins anew with the program.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes, as in VmHWM
