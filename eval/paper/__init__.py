"""The paper's experiments: what level sets cost, and how well they find neighbours (``python -m eval.paper``)."""
