"""A log nobody can rewrite, a certificate a stranger can check, a receipt for every person. Takes plain values; `app` wires it."""
