"""Vector indexes in files: FAISS and usearch. Each file is an object, each id in it a member."""
