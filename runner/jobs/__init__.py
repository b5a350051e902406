"""CI-style jobs: their graph, matrix, templates, masking, logs; and `executor`, which runs in the worker."""
