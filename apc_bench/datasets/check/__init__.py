"""Is a dataset fit for a sweep? Every fault of every file at once, where the reader of a sweep
stops at the first.
"""
