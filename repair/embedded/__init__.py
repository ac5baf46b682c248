"""The shipped model: int8 pieces, tokenizer, adapter, card, and the expander that makes a plain checkpoint of them."""
