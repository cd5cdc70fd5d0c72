"""Tasks, presets, the training loop and the files of a run."""
