"""Seeing what networks want: pretrained networks, images, and what is optimised through them."""
