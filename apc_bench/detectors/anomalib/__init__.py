"""anomalib's models as a detector. Only `detector` may be imported without anomalib."""
