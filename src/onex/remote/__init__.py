"""The index protocol: archives, index lines, trees over HTTP or in a folder, publishing."""
