"""Models behind the Protocol of `repair/model.py`: local weights, a chat server, a scripted fake."""
