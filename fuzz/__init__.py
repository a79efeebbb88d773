"""Fuzzing of the parsers that meet hostile bytes first: `make fuzz`, or `python -m fuzz tar --seconds 600`.

`targets` says what must hold for any bytes; `corpus/` keeps inputs that once reached something new or broke something. The tests
replay them without atheris.
"""
