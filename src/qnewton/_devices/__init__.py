"""Several devices: arrays spread over meshes, mapped axes, and several processes."""
