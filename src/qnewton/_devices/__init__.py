"""More than one device: arrays spread over meshes, mapped axes, and several processes."""
