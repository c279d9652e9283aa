"""Each YAML file against the JSON Schema that its first line names, as an editor does it.

    schemas.py FILE...       prints {file: [{pointer, message}]}; an empty list: it is right

The line is `# yaml-language-server: $schema=PATH[#/POINTER]`, the path relative to the file, or the
meta-schema of 2020-12 for a file that is a schema itself. A schema is first held against its own
meta-schema. YAML is read as 1.2, as the relay reads it.
"""

import json
import re
import sys
from pathlib import Path

import jsonschema
from ruamel.yaml import YAML

META = "https://json-schema.org/draft/2020-12/schema"
HEADER = re.compile(r"# yaml-language-server: \$schema=(\S+)\s*$")
Validator = jsonschema.Draft202012Validator


def schema_of(file, first_line):
    """The schema that a file names; `None` when it names none that there is."""
    header = HEADER.match(first_line)
    if not header:
        return None
    if header[1] == META:
        return Validator.META_SCHEMA
    path, _, fragment = header[1].partition("#")
    path = (file.parent / path).resolve()
    if not path.is_file():
        return None
    schema = json.loads(path.read_text(encoding="utf-8"))
    Validator.check_schema(schema)
    if fragment:
        schema = {"$ref": f"#{fragment}", "$defs": schema["$defs"]}
    return schema


def complaints(file):
    text = file.read_text(encoding="utf-8")
    schema = schema_of(file, text.partition("\n")[0])
    if schema is None:
        return [{"pointer": "", "message": "the first line names no schema that there is"}]
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    value = yaml.load(text)
    found = Validator(schema, format_checker=Validator.FORMAT_CHECKER).iter_errors(value)
    return [
        {"pointer": "".join(f"/{step}" for step in error.absolute_path), "message": error.message}
        for error in found
    ]


if __name__ == "__main__":
    print(json.dumps({name: complaints(Path(name)) for name in sys.argv[1:]}, indent=1))
