"""(registered name, options, {law: why it does not hold}) of the retrieval-side losses."""

COPIES = "it copies a teacher, who may prefer a negative"
DETACHED = "the weights of negatives are detached by definition: not the gradient of its value"
DETACHED_ONLY = {"gradcheck": DETACHED}

CASES = [
    ("hardness_weighted", {"temperature": 0.3, "strength": 2.0}, DETACHED_ONLY),
    ("hardness_weighted", {"temperature": 0.3, "strength": 2.0, "on": "hard"}, DETACHED_ONLY),
    (
        "hardness_weighted",
        {"temperature": 0.3, "strength": 2.0, "on": "in_batch", "normalise": True},
        DETACHED_ONLY,
    ),
    (
        "hardness_weighted",
        {"temperature": 0.3, "strength": 2.0, "normalise": True},
        DETACHED_ONLY,
    ),
    ("star", {"temperature": 0.3}, {"alone": "it divides by the kept cells of the whole batch"}),
    ("adore", {"temperature": 0.3}, {}),
    ("adore", {"temperature": 0.3, "cut": 3}, {}),
    ("margin_mse", {}, {"pulls_and_pushes": COPIES}),
    ("dual_margin_mse", {}, {"pulls_and_pushes": COPIES}),
    ("kl_distill", {"temperature": 0.3}, {"pulls_and_pushes": COPIES}),
    ("kl_distill", {"temperature": 0.3, "rescale": True}, {"pulls_and_pushes": COPIES}),
    ("list_distill", {"temperature": 0.3}, {"pulls_and_pushes": COPIES}),
    ("list_distill", {"temperature": 0.3, "contrastive": 0.2}, {"pulls_and_pushes": COPIES}),
    ("adversarial", {"temperature": 0.3}, {"pulls_and_pushes": COPIES}),
    ("adversarial", {"temperature": 0.3, "form": "code"}, {"pulls_and_pushes": COPIES}),
]
