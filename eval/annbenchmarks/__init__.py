"""What ann-benchmarks needs to run ipaq_index: the folder ``ipaq`` goes into its ``ann_benchmarks/algorithms``."""
