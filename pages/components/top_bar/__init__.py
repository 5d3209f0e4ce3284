"""The bar below the navigation: the two open files, how far they have come, and the next step."""
