"""What we balance: datasets, their schema, how they are read and how rows are set aside. Imports base alone."""
