"""Which items show the same picture: exact, same pixels, near-duplicate; and the list that keeps erased pictures out."""
