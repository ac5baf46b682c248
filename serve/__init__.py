"""The faces of Emend: command line and HTTP service. The only package that may compose all others."""
