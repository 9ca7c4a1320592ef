def build(model, architecture, system):
    return None
