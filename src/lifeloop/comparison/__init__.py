"""Two trials of the same examples, tested: pairs, differences, intervals for one look and for any."""
