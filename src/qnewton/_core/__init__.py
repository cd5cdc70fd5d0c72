"""Records, status codes and pytree helpers that the stages share. No mathematics, no imports from other folders."""
