"""The judges: they know datasets, not who made them. May import base and data; never engines, gan, encode or shards."""
