"""The words of lifeloop as frozen types. No I/O; stands on msgspec alone."""
