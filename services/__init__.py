"""The services of the chain, each one process; none knows another."""
