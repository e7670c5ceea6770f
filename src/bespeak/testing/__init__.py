"""The kit that tests use, and users too: a seeded town, contract checks, measurements."""
