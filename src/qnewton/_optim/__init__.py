"""Optimizers: the stages combined into an `optax.GradientTransformationExtraArgs`.

Names are imported from the modules of this folder, five of which have the name of the function inside.
"""
