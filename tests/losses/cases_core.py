"""(registered name, options, {law: why it does not hold}) of the losses of the main path."""

CASES = [
    ("info_nce", {"temperature": 0.3}, {}),
    ("info_nce", {"temperature": 0.3, "margin": 0.1}, {}),
    (
        "info_nce",
        {"temperature": 0.3, "label_smoothing": 0.1},
        {"pulls_and_pushes": "smoothing pulls every candidate a little, by definition"},
    ),
    ("decoupled", {"temperature": 0.3}, {}),
    (
        "decoupled",
        {"temperature": 0.3, "sigma": 0.5},
        {
            "pulls_and_pushes": "DCLW gives an easy positive a negative weight by definition",
            "gradcheck": "its weights are detached by definition: not the gradient of its value",
            "alone": "its weights compare all positives of the batch",
        },
    ),
]
