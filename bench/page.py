"""Renders."""


def render():
    pass
