"""Foreign weights to our model directory and back."""
