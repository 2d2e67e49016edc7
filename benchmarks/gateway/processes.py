"""Processes under measurement: started on a core of their own, their CPU time and memory read from the system.

A process counts with all its descendants: a gateway is its supervisor, its workers and what they start.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cores() -> tuple[set[int], set[int]]:
    """Return the core of what is measured and those of everything else; the same where there is only one."""
    have = sorted(os.sched_getaffinity(0))
    return {have[0]}, set(have[1:]) or {have[0]}


class Process:
    """A process that is running, and its descendants."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log

    def line(self) -> str:
        """Return the next line that it prints; raises RuntimeError where it ended instead."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"{self._process.args} ended: {self._log.read_text()[-2000:]}")
        return line.strip()

    def pids(self) -> list[int]:
        """Return it and its descendants."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    stat = (entry / "stat").read_text().rpartition(")")[2].split()
                    children.setdefault(int(stat[1]), []).append(int(entry.name))
        found = [self._process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far by those that live, in user and system mode."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(stat[11]) + int(stat[12])
        return total / TICKS

    def memory_mb(self) -> dict[int, float]:
        """Return the resident memory of each that lives, in MB, by process id."""
        found = {}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                found[pid] = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6
        return found

    def pin(self, on: set[int]) -> None:
        """Move it to other cores, without its descendants."""
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), on)

    def stop(self) -> None:
        """End it as an operator would; kill what does not end."""
        pids = self.pids()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def running(
    command: Sequence[str], on: set[int], *, env: Mapping[str, str] | None = None, cwd: Path | None = None, log: Path
) -> Iterator[Process]:
    """Run a command on some cores until the block ends; its errors go to a file."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            preexec_fn=lambda: os.sched_setaffinity(0, on),  # noqa: PLW1509 - nothing here has threads
        )
        running = Process(process, log)
        try:
            yield running
        finally:
            running.stop()


def until(condition: object, seconds: float = 60.0) -> None:
    """Wait until a function without arguments returns something true. Raises RuntimeError."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise RuntimeError("waited in vain")
        time.sleep(0.05)
