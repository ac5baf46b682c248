"""Sandboxes behind the Protocol of `repair/sandbox.py`: bubblewrap, landlock, limits only, a scripted fake."""
