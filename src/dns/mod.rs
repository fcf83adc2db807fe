//! DNS look-ups that keep their authenticity.
