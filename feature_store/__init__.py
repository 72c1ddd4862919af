"""Tables, partitions and quality gates: everything Nightmill publishes passes through here."""
