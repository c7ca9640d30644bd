"""The parts of `benchmarks.accelerator`: what each measures, and the file that the results go to."""
