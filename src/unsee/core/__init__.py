"""The words of the house as frozen values, and the pure rules over them. No IO, no clock, no randomness."""
