"""For tests of stores and of whatever must survive a kill: `stores`, the contract suite; `faults`, the killer. Needs pytest."""
