"""Vectors to unpacked codes and back: transform, bits per dimension, encoding. Owns accuracy."""

from ipaq_index.quantizer.quantizer import Codes, Quantizer
from ipaq_index.quantizer.scale import ScaleFormat
from ipaq_index.quantizer.spec import QuantizerSpec

__all__ = ["Codes", "Quantizer", "QuantizerSpec", "ScaleFormat"]
