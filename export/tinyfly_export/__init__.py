"""A policy file becomes C, ONNX, TFLite or torch, each proven on the golden vectors in its real runtime."""
