"""Records, status codes and pytree helpers: the words that the stages share. No mathematics, no imports of ours."""
