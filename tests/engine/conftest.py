import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
# The small world of the stages, the endpoint that test_remote.py uses, and the scene of the contracts.
sys.path[:0] = [str(TESTS / "stages"), str(TESTS / "models"), str(TESTS / "contracts")]
