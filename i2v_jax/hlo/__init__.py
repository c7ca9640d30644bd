"""Compiled programs, read from the text that XLA prints: what each instruction computes, moves and sends.

Everything here is about one device and one run of the program. XLA's own `cost_analysis` does not serve: it counts the
body of a loop once, knows no convolution that a library computes (as on GPUs), takes traffic within a TPU's on-chip
memory for traffic to main memory, and is not there at all for GPUs that are not attached.
"""
