"""Validates workflow files: validate.py SCHEMA FILE… prints what is wrong with each, and fails if anything is."""

import json
import sys
import tomllib
from pathlib import Path

from jsonschema import Draft202012Validator

schema = json.loads(Path(sys.argv[1]).read_text())
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
wrong = False
for name in sys.argv[2:]:
    for error in validator.iter_errors(tomllib.loads(Path(name).read_text())):
        wrong = True
        print(f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
sys.exit(wrong)
