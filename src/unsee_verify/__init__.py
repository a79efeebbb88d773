"""The outsider's verifier: checks a certificate or receipt offline and imports nothing of unsee."""

__version__ = "0.1.0"
