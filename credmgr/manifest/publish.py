"""The JSON Schema of `credmgr.yaml` for editors: `python -m credmgr.manifest.publish`.

Made from the definitions that the manifest is checked by, and from the options of the plugins that
are installed, so that it cannot say anything else than `load` does. What types alone cannot say
(that a store exists, that scopes are in the catalogue) is for `credmgr check`.
"""

import inspect
import json
import re
import sys
from datetime import timedelta
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema

from credmgr.manifest.binding import adapter
from credmgr.manifest.catalogue import InstalledPlugins, PluginCatalogue
from credmgr.manifest.draft import GROUPS
from credmgr.manifest.durations import format_duration
from credmgr.manifest.schema import NAMED, VERSION, DefaultsEntry, Part, Root
from credmgr.model.names import MAX_NAME_LENGTH, PATTERN
from credmgr.plugins.loading import ISSUERS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NAME: Final = {"pattern": PATTERN, "maxLength": MAX_NAME_LENGTH}
_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.+(?:\n {6,}.+)*)", re.MULTILINE)


class _Untitled(GenerateJsonSchema):
    """Without the titles that only repeat the keys; durations as the manifest writes them."""

    def field_title_should_be_set(self, schema: CoreSchema | Any) -> bool:
        del schema
        return False

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def json_schema(plugins: PluginCatalogue | None = None) -> dict[str, Any]:
    """The schema of a manifest, draft 2020-12; `#/$defs/Part` is that of an included file.

    Args:
        plugins: Where plugins are looked up; those installed unless given.

    Raises:
        PluginError: One of them does not load.
    """
    catalogue = plugins or InstalledPlugins()
    schema = Root.model_json_schema(schema_generator=_Untitled)
    definitions, sections = schema["$defs"], schema["properties"]
    for section, group in GROUPS.items():
        kinds = _plugins(definitions, section, group, catalogue)
        sections[section]["additionalProperties"] = {"oneOf": kinds} if kinds else False
    definitions.pop("PluginEntry")
    for section in NAMED:
        sections[section]["propertyNames"] = _NAME
    sections["version"] = {"const": VERSION, "description": sections["version"]["description"]}
    _take_from_defaults(definitions["CredentialEntry"])
    definitions["Part"] = {
        "type": "object",
        "description": inspect.getdoc(Part),
        "properties": {key: sections[key] for key in Part.model_fields},
        "additionalProperties": False,
    }
    return {"$schema": DIALECT, "$id": f"urn:credmgr:manifest:{VERSION}", **schema}


def _take_from_defaults(credential: dict[str, Any]) -> None:
    """What `defaults` may say need not stand in every credential."""
    required = credential["required"]
    credential["required"] = [key for key in required if key not in DefaultsEntry.model_fields]


def _plugins(
    definitions: dict[str, Any], section: str, group: str, catalogue: PluginCatalogue
) -> list[dict[str, str]]:
    """Define the options of every plugin of a group, and say where."""
    places = []
    for name in catalogue.names(group):
        factory = catalogue.factory(group, name)
        entry = _options(definitions, factory.options, f"{section}.{name}")
        entry["properties"] = {"plugin": {"const": name}, **entry.get("properties", {})}
        entry["required"] = ["plugin", *entry.get("required", ())]
        if group == ISSUERS:
            _options(definitions, factory.credential_options, f"{section}.{name}.options")
        places.append({"$ref": f"#/$defs/{section}.{name}"})
    return places


def _options(definitions: dict[str, Any], options: Any, key: str) -> dict[str, Any]:
    """Define a plugin's dataclass as `key`, described by the attributes in its docstring."""
    schema: dict[str, Any] = adapter(options).json_schema(
        ref_template=f"#/$defs/{key}.{{model}}", schema_generator=_Untitled
    )
    for name, nested in schema.pop("$defs", {}).items():
        nested.pop("description", None)  # some versions of pydantic give the docstring, some not
        definitions[f"{key}.{name}"] = nested
    text = inspect.getdoc(options) or ""
    said = {found[1]: " ".join(found[2].split()) for found in _ATTRIBUTE.finditer(text)}
    for name, field in schema.get("properties", {}).items():
        if name in said:
            field["description"] = said[name]
    schema["description"] = text.partition("\n")[0]
    definitions[key] = schema
    return schema


def main() -> None:
    """Write the schema to standard output."""
    json.dump(json_schema(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
