"""Statistics: functions from arrays to results. No I/O, and no knowledge of models or data."""
