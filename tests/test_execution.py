import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from lifeloop.core.errors import DataError, ModelError
from lifeloop.core.progress import silent
from lifeloop.execution import Outcome, run_isolated

WHERE = "candidates.small"


def run(function, *arguments, progress=silent) -> Outcome:
    return run_isolated(function, *arguments, progress=progress, where=WHERE)


# what is run: each of these gets a process of its own


def double(number, progress):
    return 2 * number


def tell(progress):
    for done in range(3):
        progress(done, 3, f"step {done}")
    return os.getpid()


def give_up(progress):
    raise DataError("row 3 has no label", where="data.csv: row 3", fix="add one")


def fail(progress):
    return 1 / 0


def run_out_of_memory(progress):
    raise MemoryError


def die_by(number, progress):
    os.kill(os.getpid(), number)


def leave(progress):
    os._exit(7)


def give_what_cannot_travel(progress):
    return lambda: None


def take(megabytes, progress):
    block = bytearray(megabytes * 2**20)
    for place in range(0, len(block), 4096):
        block[place] = 1
    return len(block)


def sleep_beside(path, progress):
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


# what comes of it


def test_the_value_comes_back_from_another_process():
    outcome = run(double, 21)
    assert outcome.value == 42
    assert 5 < outcome.memory_mb < 500


def test_progress_comes_through_as_it_is_told():
    told = []
    outcome = run(tell, progress=lambda *step: told.append(step))
    assert told == [(0, 3, "step 0"), (1, 3, "step 1"), (2, 3, "step 2")]
    assert outcome.value != os.getpid()


def test_an_error_that_a_person_can_mend_comes_through_as_it_is():
    with pytest.raises(DataError) as caught:
        run(give_up)
    assert (caught.value.what, caught.value.where, caught.value.fix) == (
        "row 3 has no label",
        "data.csv: row 3",
        "add one",
    )


def test_any_other_error_names_the_candidate_and_keeps_its_trace_for_the_log():
    with pytest.raises(ModelError, match="ZeroDivisionError: division by zero") as caught:
        run(fail)
    assert caught.value.where == WHERE
    assert "return 1 / 0" in caught.value.__notes__[0]
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "arguments", "says"),
    [
        (run_out_of_memory, (), "out of memory"),
        (die_by, (signal.SIGKILL,), "ended by SIGKILL\n.*out of memory"),
        (die_by, (signal.SIGSEGV,), "ended by SIGSEGV\n.*native code"),
        (die_by, (signal.SIGTERM,), "ended by SIGTERM"),
        (leave, (), "exit code 7"),
        (give_what_cannot_travel, (), "pickle"),
    ],
)
def test_a_process_that_dies_fails_its_candidate_and_not_the_run(function, arguments, says):
    with pytest.raises(ModelError, match=f"(?s){says}") as caught:
        run(function, *arguments)
    assert caught.value.where == WHERE
    assert caught.value.fix


def test_the_memory_measured_grows_with_what_is_taken():
    little, much = run(take, 10).memory_mb, run(take, 260).memory_mb
    assert 200 < much - little < 300


def test_what_the_parent_holds_is_not_counted():
    held = bytearray(400 * 2**20)
    held[::4096] = b"1" * len(held[::4096])
    assert run(double, 1).memory_mb < 300
    assert held[0]


INTERRUPTED = """
import signal, sys
sys.path.insert(0, sys.argv[1])
from test_execution import run, sleep_beside
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background processes do not have
run(sleep_beside, sys.argv[2])
"""


def test_an_interrupt_ends_the_child_at_once(tmp_path):
    marker = tmp_path / "pid"
    command = [sys.executable, "-c", INTERRUPTED, str(Path(__file__).parent), str(marker)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        child = int(written(marker))
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[1].endswith("KeyboardInterrupt\n")
    assert is_gone(child)


def parent(path: str) -> None:
    multiprocessing.current_process()._config["daemon"] = False  # a daemon may have no children of its own
    run(sleep_beside, path)


def test_a_parent_that_is_killed_leaves_nothing_behind(tmp_path):
    marker = tmp_path / "pid"
    runner = multiprocessing.get_context("spawn").Process(target=parent, args=(str(marker),))
    runner.start()
    child = int(written(marker))
    os.kill(runner.pid, signal.SIGKILL)
    runner.join()
    assert is_gone(child)


def written(marker: Path) -> str:
    for _ in range(600):
        if marker.exists() and marker.read_text():
            break
        time.sleep(0.05)
    return marker.read_text()


def is_gone(pid: int) -> bool:
    for _ in range(100):
        with contextlib.suppress(FileNotFoundError):
            if "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
                time.sleep(0.05)
                continue
        return True
    return False


def test_an_outcome_is_a_frozen_value():
    with pytest.raises(AttributeError):
        msgspec.structs.replace(Outcome(1, 2.0), value=3).value = 4
