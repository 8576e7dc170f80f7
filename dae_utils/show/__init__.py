"""What readers look at: figures, and networks exported to the pages. Nothing here computes results."""
