"""Where bytes live: one contract (`contract`), one module a kind. Other packages add kinds by the entry point `unsee.stores`."""
