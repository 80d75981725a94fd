"""The exhaustive model of the gc protocol."""
