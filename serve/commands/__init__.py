"""The subcommands of `emend`, one module each, imported only when called."""
