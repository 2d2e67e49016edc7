import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
# The small world of the stages, and the endpoint that test_remote.py uses.
sys.path[:0] = [str(TESTS / "stages"), str(TESTS / "models")]
