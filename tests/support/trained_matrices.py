"""Which of a bundle's parameters are matrices of its layers, as opposed to tables."""


def trained_matrices(bundle) -> list:
    """Returns the trained matrices of a bundle's layers."""
    vocabulary = bundle.config["vocab_size"]
    return [
        parameter
        for parameter in bundle.parameters
        if len(parameter.shape) == 2
        and parameter.shape[0] != vocabulary
        and "embed" not in parameter.name
    ]
