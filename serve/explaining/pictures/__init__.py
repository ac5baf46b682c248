"""Pictures of `repair.explain.values`: pure functions from values to HTML and SVG, without scripts or inline styles.

Colours come from `pictures.css` by classes (light and dark); places and sizes are SVG presentation attributes, which a
strict Content-Security-Policy lets pass. Every picture has a title, a text alternative and a caption.
"""
