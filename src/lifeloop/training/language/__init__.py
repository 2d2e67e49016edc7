"""Training language models, thin over TRL and PEFT: one module a method, and one way to run them all."""
