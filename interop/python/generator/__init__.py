"""Makes `test-vectors/`: every octet follows from the name of its vector (README there, "Randomness")."""
