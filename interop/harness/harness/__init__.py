"""The interop harness: peers, cases, cells, reports. See README.md and CONTRACT.md."""
