"""Is each file an OpenAPI 3.1 document? Its schemas and references are checked as well.

    openapi.py FILE...       prints what is wrong; exit status 1 when something is
"""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator


def main(files):
    wrong = 0
    for name in files:
        with open(name, encoding="utf-8") as file:
            document = json.load(file)
        for error in OpenAPIV31SpecValidator(document).iter_errors():
            wrong += 1
            place = "/".join(str(step) for step in getattr(error, "absolute_path", []))
            print(f"{name}: /{place}: {str(error).splitlines()[0]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
