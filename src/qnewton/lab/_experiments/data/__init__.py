"""Where data come from: files, the hub, and what installed packages hold."""
