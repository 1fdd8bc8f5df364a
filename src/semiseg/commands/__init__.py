"""The commands: each reads its settings, calls the packages below, and returns a result."""
