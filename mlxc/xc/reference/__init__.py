"""Reference functionals, one file each: what the machinery is proven with, and what the learned ones are built from."""
