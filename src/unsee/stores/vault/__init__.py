"""Photos encrypted at rest, so that destroying one key destroys every copy of them, backups included (R8).

`sealed` is the format of one encrypted file, `ring` the file of wrapped keys, `wrapping` who wraps them, `index` what an object
holds, `store` the store itself. See docs/adr/0013-the-vault.md.
"""

from unsee.stores.vault.store import VaultStore, open_vault

__all__ = ["VaultStore", "open_vault"]
