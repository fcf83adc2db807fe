"""CPU and memory of mta-seal beside their limits."""
