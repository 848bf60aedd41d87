"""What is measured, a folder for each page of `docs/results`; `harness` is what they share."""
