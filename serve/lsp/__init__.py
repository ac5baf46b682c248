"""The language server: diagnostics and code actions for editors. Owns the protocol; repairs are `repair`'s.

`options.py` what it was told, `positions.py` and `project.py` texts, `findings.py` and `fixes.py` what is shown,
`engine.py` what takes long, `desk.py` the thread it runs in, `session.py` the state, `server.py` the wire.
"""
