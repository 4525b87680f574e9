"""Small faults planted in the product, to count how many of them the tests notice."""
