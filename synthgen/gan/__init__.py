"""Tensors in, tensors out: conditional WGANs that have never heard of data frames, label names or files.

May import torch, numpy, safetensors, ``synthgen.errors``, ``synthgen.seeding`` and ``synthgen.data.layout``.
"""
