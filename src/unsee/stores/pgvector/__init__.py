"""Tables of PostgreSQL that hold vectors (pgvector), float arrays or bytes. A table is an object, each of its rows a member."""
