"""The formulas as JavaScript, compiled from their jaxprs, and the page that shows them."""
