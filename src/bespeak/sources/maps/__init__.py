"""The import maps that come with bespeak, one YAML file each."""
