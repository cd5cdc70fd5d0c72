"""The stages wired into an `optax.GradientTransformationExtraArgs`.

Names are imported from the modules of this folder, five of which bear the name of the function inside.
"""
