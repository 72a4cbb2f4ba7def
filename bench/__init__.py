"""make bench: compares the program with what people write themselves, in one run on one machine."""
