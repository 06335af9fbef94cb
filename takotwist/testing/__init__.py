"""A whole world in memory, pumped by hand: for your tests and for ours."""
