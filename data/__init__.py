"""The data pipeline: read licensed code, filter it, inject and label faults, write what `training` reads."""
