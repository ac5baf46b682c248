"""Makes and adapts models: the embedded base (`train base`) and LoRA adapters of any causal code model."""
