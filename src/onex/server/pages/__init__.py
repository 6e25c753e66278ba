"""The pages that people see: whole without scripts, rendered here, one module a page."""
