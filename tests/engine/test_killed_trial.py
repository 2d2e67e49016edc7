import multiprocessing
import time

from openai_endpoint import serving
from small_world import World

from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.engine.trial import run_trial

N, CONCURRENCY = 400, 8


def test_a_trial_that_is_killed_asks_only_for_what_is_missing(tmp_path):
    world = World(tmp_path)
    world.use("test", [Example(f"n{n}", f"text {n}", "greeting", f"n{n}") for n in range(N)])

    def say(asked):
        time.sleep(0.01)
        return "greeting"

    with serving(say) as endpoint:
        table = {"kind": "remote", "url": endpoint.url, "model": "m", "concurrency": CONCURRENCY}
        candidate = world.make(table, "remote")
        arguments = (world.vault, world.order(candidate, split="test"), world.workplace())
        run = multiprocessing.get_context("spawn").Process(
            target=run_trial, args=arguments, kwargs={"progress": silent}, daemon=True
        )
        run.start()
        while len(endpoint.asked) < N // 2:
            assert run.is_alive()
            time.sleep(0.005)
        run.kill()
        run.join()
        time.sleep(0.1)  # what was under way arrives
        before = len(endpoint.asked)
        assert before < N
        trial = run_trial(*arguments, progress=silent)
    assert trial.n_items == N
    assert trial.n_failed == 0
    assert trial.measurements.n_cached >= before - CONCURRENCY
    assert len(endpoint.asked) <= N + CONCURRENCY
    texts = [asked["messages"][-1]["content"] for asked in endpoint.asked]
    assert len(set(texts)) == N
