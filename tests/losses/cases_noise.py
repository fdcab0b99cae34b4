"""(registered name, options, {law: why it does not hold}) of the losses against noise."""

CHOICE = "only the chosen triplets have a gradient, and the labelled positive need not be in one"

CASES = [
    ("noisy_negative", {"temperature": 0.3, "bias": -1.0, "flip": 0.2}, {}),
    ("noisy_negative", {"temperature": 0.3, "bias": 0.0, "flip": 0.0}, {}),
    ("sigmoid", {"temperature": 0.3, "bias": -1.0}, {}),
    (
        "supervised_contrastive",
        {"temperature": 0.3},
        {"pulls_and_pushes": "a positive nearer than the others is pushed back to them"},
    ),
    ("supervised_contrastive", {"temperature": 0.3, "inside": True}, {}),
    ("leave_one_out_knn", {"k": 20, "temperature": 0.3}, {}),
    (
        "leave_one_out_knn",
        {"k": 4, "temperature": 0.3},
        {"pulls_and_pushes": "a positive beyond the k nearest asks for nothing, by definition"},
    ),
    (
        "leave_one_out_knn",
        {"k": 3, "temperature": 0.3, "always": True},
        {"pulls_and_pushes": "a positive beyond the k nearest asks for nothing, by definition"},
    ),
    ("triplet", {"margin": 2.0, "mining": "all"}, {}),
    ("triplet", {"margin": 0.5, "mining": "all", "distance": "euclidean", "soft": True}, {}),
    ("triplet", {"margin": 0.5, "mining": "hardest"}, {"pulls_and_pushes": CHOICE}),
    ("triplet", {"margin": 0.0, "soft": True}, {"pulls_and_pushes": CHOICE}),
    ("triplet", {"margin": 0.5, "mining": "semi_hard"}, {"pulls_and_pushes": CHOICE}),
    (
        "cosent",
        {"temperature": 0.3},
        {"pulls_and_pushes": "a middle grade is pulled above the lower ones"},
    ),
    (
        "positive_unlabelled",
        {"gamma": 0.55, "alpha": 1.0},
        {"gradcheck": "temperature and factor are detached: not the gradient of its value"},
    ),
    ("positive_unlabelled", {"gamma": 0.0, "alpha": 1000.0}, {}),
    ("gate_and_correct", {"temperature": 0.3}, {}),
    (
        "gate_and_correct",
        {"temperature": 0.3, "threshold": 0.5},
        {"pulls_and_pushes": "a gated row pulls its new positive, or nothing"},
    ),
    (
        "gate_and_correct",
        {"temperature": 0.3, "threshold": 0.5, "soft": True, "sharpen": 1.0, "confidence": 0.2},
        {"pulls_and_pushes": "a gated row pulls its new positives, or nothing"},
    ),
]
