"""The trees that jobs work in: made, filled with what others have made, taken away; and what is kept of them."""
