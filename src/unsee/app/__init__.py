"""The use cases, shared by every face of the house. The one place that wires rooms together."""
