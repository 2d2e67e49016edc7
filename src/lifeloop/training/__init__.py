"""What makes candidates: thin over scikit-learn, transformers, TRL and PEFT."""
