"""Between text and values: manifests and workflows as their authors write them."""
