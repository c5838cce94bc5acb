"""What the operator has set: typed settings, encrypted generations, identity, paths and logs."""
