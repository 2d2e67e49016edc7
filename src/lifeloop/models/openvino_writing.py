"""Texts of openvino-genai's pipeline: requests that come together are batched, each is read token by token.

One thread turns the pipeline while there is work. Takes token ids, gives token ids as they are written; closing an
iterator takes its request out. Knows nothing of prompts or tasks.
"""

import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from lifeloop.core.errors import ModelError

if TYPE_CHECKING:
    import openvino_genai

FAILED = "error: "
"""Begins what the turning thread puts last where a text failed; else it is why the text ended."""


class Wanted(NamedTuple):
    """A text that is to be written, and where its tokens go."""

    number: int
    config: Any
    prompt: list[int]
    came: "SimpleQueue[list[int] | str]"


class Pipeline:
    """A pipeline that several threads may ask for texts."""

    def __init__(self, pipeline: "openvino_genai.ContinuousBatchingPipeline") -> None:
        self._pipeline: Any = pipeline
        self._changed = threading.Condition()
        self._new: list[Wanted] = []
        self._handles: dict[int, tuple[Any, SimpleQueue[list[int] | str]]] = {}
        self._last = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def write(
        self, prompt: Sequence[int], ends: Sequence[int], limit: int, schema: dict[str, Any] | None
    ) -> Iterator[list[int] | str]:
        """Yield tokens as they are written, greedily, and last why it ended. Raises ModelError where it fails."""
        came: SimpleQueue[list[int] | str] = SimpleQueue()
        with self._changed:
            if self._closed:
                raise ModelError("the model is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._turn, name="openvino", daemon=True)
                self._thread.start()
            self._last += 1
            number = self._last
            self._new.append(Wanted(number, _config(ends, limit, schema), list(prompt), came))
            self._changed.notify()
        try:
            while isinstance(found := came.get(), list):
                yield found
            if found.startswith(FAILED):
                raise ModelError(found.removeprefix(FAILED))
            yield found
        finally:
            with self._changed:
                if number in self._handles:
                    self._handles.pop(number)[0].cancel()
                self._new = [each for each in self._new if each.number != number]

    def close(self) -> None:
        """Free the pipeline once its thread has let go of it."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        self._pipeline = None

    # below: the thread

    def _turn(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._new or self._handles)
                if self._closed:
                    self._end_all(f"{FAILED}the model was closed")
                    return
                for wanted in self._new:
                    self._begin(wanted)
                self._new.clear()
            try:
                self._pipeline.step()
            except RuntimeError as error:
                with self._changed:
                    self._end_all(f"{FAILED}{error}")
                continue
            with self._changed:
                self._read()

    def _begin(self, wanted: Wanted) -> None:
        import openvino

        ids = openvino.Tensor(np.array([wanted.prompt], dtype=np.int64))
        try:
            handle = self._pipeline.add_request(wanted.number, ids, wanted.config)
        except RuntimeError as error:
            wanted.came.put(f"{FAILED}{error}")
        else:
            self._handles[wanted.number] = (handle, wanted.came)

    def _read(self) -> None:
        import openvino_genai

        running = openvino_genai.GenerationStatus.RUNNING
        for number, (handle, came) in list(self._handles.items()):
            reason = "stop"
            while handle.can_read():
                for output in handle.read().values():
                    came.put(list(output.generated_ids))
                    reason = (
                        "length" if output.finish_reason == openvino_genai.GenerationFinishReason.LENGTH else "stop"
                    )
            status = handle.get_status()
            if status != running:
                finished = status == openvino_genai.GenerationStatus.FINISHED
                came.put(reason if finished else f"{FAILED}OpenVINO has no room for the request")
                del self._handles[number]

    def _end_all(self, why: str) -> None:
        for handle, came in self._handles.values():
            handle.cancel()
            came.put(why)
        for wanted in self._new:
            wanted.came.put(why)
        self._handles.clear()
        self._new.clear()


def _config(ends: Sequence[int], limit: int, schema: dict[str, Any] | None) -> Any:
    import openvino_genai

    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = limit
    config.do_sample = False
    config.eos_token_id = ends[0]
    config.stop_token_ids = set(ends)
    if schema is not None:
        held = openvino_genai.StructuredOutputConfig(json_schema=msgspec.json.encode(schema).decode())
        config.structured_output_config = held
    return config
