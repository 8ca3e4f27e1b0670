"""The workloads, one file each; what is measured in each stands in its first lines."""
