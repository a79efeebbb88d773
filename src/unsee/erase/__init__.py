"""From an order to its end: scope → plan → apply (journalled) → verify with fresh eyes."""
