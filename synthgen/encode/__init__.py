"""Datasets as arrays and back: whole rows of exact Arrow types <-> normal scores and codes that a model can learn."""
