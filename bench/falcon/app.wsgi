from app import application  # noqa: F401  What mod_wsgi looks for.
