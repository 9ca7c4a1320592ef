"""Training of tokenizers: the dVAE and the VQGAN layout, their frames, losses and scores."""
