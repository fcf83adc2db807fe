//! The DNS records of MTA-SEAL: grammar and signatures; pure.
