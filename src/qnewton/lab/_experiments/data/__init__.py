"""Sources of data: files, the hub, and data in installed packages."""
