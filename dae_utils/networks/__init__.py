"""Networks: builders, and ways to take a network apart. Nothing here reads data or trains."""
