"""Training language models, thin over TRL and PEFT: one module a method, and one way to run them all."""

LANGUAGE_KINDS = ("llamacpp", "transformers", "scratch")
"""Model kinds whose candidates hold a causal language model, and can be the parent of these adaptations."""
