"""The catalogue: whose a photo is, where it lies, what became of it. It holds no image.

`database.Books` opens it; every other module here is a noun with plain functions over a transaction (`Tx` or `Connection`).
"""
