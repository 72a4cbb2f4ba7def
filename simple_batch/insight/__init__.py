"""What happened: counts, percentiles, timeline, cost, error groups. Reads only."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
