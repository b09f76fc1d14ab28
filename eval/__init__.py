"""Measuring ipaq_index beside its peers, through public interfaces alone."""
