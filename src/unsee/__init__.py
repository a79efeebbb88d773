"""unsee: the books of a face-image training corpus, and its deletion done properly.

Importing this package is light; each room is imported where it is used.
"""

__version__ = "0.1.0"
