"""Planted worlds: small made-up data whose false negatives, noise and hardness are known.

One file per mechanism; tests hold each method to its claim there, notebooks show the picture.
"""
