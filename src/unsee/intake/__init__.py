"""How photos come in: walk a folder, read its metadata, examine each photo, gate."""
