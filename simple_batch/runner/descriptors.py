"""How many connections the operating system lets this process open."""

import logging

log = logging.getLogger(__name__)

RESERVED = 256  # for the database, the pages' clients, logs and uploads

try:
    import resource
except ImportError:  # Windows knows no such limit
    resource = None


def allow(wanted: int) -> int:
    """Raise the limit on open files for ``wanted`` connections as far as the system lets us;
    returns how many there may be, and says so where they are fewer."""
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + RESERVED:
        target = wanted + RESERVED
        if hard != resource.RLIM_INFINITY:
            target = min(target, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            soft = target
        except (ValueError, OSError):
            log.debug("the limit on open files stays at %s", soft)
    if soft == resource.RLIM_INFINITY or soft >= wanted + RESERVED:
        return wanted
    allowed = max(1, soft - RESERVED)
    log.warning(
        "the system allows %s open files: at most %s calls in flight (MAX_CONCURRENCY is %s). "
        "Raise it with: ulimit -n %s",
        *(soft, allowed, wanted, wanted + RESERVED),
    )
    return allowed
