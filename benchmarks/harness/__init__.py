"""What the benchmarks share: timing in turns, sections that are kept, tables, threads."""
