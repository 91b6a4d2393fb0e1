"""Which memory cgroup this machine lets a test make, if any."""

from pocketllm.benchmarks.isolation.cgroup import limited_cgroup

LIMIT_BYTES = 64 << 20


def kind_here():
    with limited_cgroup(LIMIT_BYTES) as cgroup:
        return cgroup.kind if cgroup else None


CGROUP = kind_here()
