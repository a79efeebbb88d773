"""For tests of stores and of whatever must survive a kill: `stores`, the contract suite; `faults`, the killer; `syscalls`, the
killer that sees native libraries too. Needs pytest."""
