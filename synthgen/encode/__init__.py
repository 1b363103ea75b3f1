"""Datasets as arrays and back: rows of exact Arrow types <-> normal scores and codes; images <-> float pixels."""
