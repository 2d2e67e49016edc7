"""A module that is installed, as far as the test of functions of packages is concerned."""


def same(asked: str, reference: str, output: str, prediction: str) -> bool:
    return output == reference
