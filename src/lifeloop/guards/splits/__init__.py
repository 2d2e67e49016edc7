"""Which split a row is in: by rule, as declared, and as it was placed before."""
