"""What the interop tests are made of: a loopback of their own, and the programs that talk on it."""
