"""What VIBE needs to run ipaq_index: the folder ``ipaq`` goes into its ``vibe/algorithms``."""
