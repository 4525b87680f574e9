"""The built-in trainer: build, attest, train, evaluate, finish."""
