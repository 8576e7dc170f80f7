"""Data as arrays: sources and their proof, images, heartbeats, a reader's own files, damage and deformation.

Nothing here imports Keras or TensorFlow.
"""
