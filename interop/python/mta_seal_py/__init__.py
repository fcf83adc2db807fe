"""A second implementation of MTA-SEAL, written from spec/draft-mta-seal.md alone."""
