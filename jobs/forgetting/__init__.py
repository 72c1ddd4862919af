"""The parts of `nightmill forget`, one for each kind of place a user may be in."""
