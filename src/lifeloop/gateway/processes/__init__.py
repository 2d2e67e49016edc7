"""The processes of `lifeloop serve`: the supervisor, its workers, and what runs beside them."""
