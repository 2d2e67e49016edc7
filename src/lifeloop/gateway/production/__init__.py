"""Who answers: releases loaded, traffic split between them, shadows, what was in production last."""
