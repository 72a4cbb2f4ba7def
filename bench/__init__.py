"""make bench: the program beside what people write themselves, in one run on one machine."""
