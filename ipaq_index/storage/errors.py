"""What is raised when a file is not as it should be."""


class IndexFileError(ValueError):
    """An index file is damaged, cut short, of another format, or of a newer version; the message names the part."""
