"""The domain of Emend: from evidence of a fault to judged patches. Imports nothing else of ours."""
