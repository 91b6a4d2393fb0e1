"""The processor's name, as the kernel gives it."""

import platform

import pytest

from pocketllm.runtime.host.cpu import cpu_flags, cpu_name, instructions


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n",
         "AMD EPYC"),
        ("processor : 0\nCPU part\t: 0xd05\n\nprocessor : 1\nCPU part\t: 0xd41\n\n"
         "Hardware\t: Qualcomm SM8350\n", "Qualcomm SM8350 (CPU parts 0xd05, 0xd41)"),
    ],
)  # fmt: skip
def test_the_processors_name(cpuinfo, name):
    assert cpu_name(cpuinfo) == name


def test_a_processor_without_a_name_is_its_architecture_and_parts():
    assert cpu_name("") in (platform.processor(), platform.machine())
    assert cpu_name("CPU part\t: 0xd0b\n").endswith(" (CPU parts 0xd0b)")


@pytest.mark.parametrize(
    ("cpuinfo", "flags"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx\n\nprocessor\t: 1\nflags\t\t: fpu avx2 avx\n",
         ["avx", "avx2", "fpu"]),
        ("processor : 0\nFeatures\t: fp asimd\n\nprocessor : 1\nFeatures\t: fp asimddp\n",
         ["asimd", "asimddp", "fp"]),
        ("", []),
    ],
)  # fmt: skip
def test_the_processors_flags(cpuinfo, flags):
    assert cpu_flags(cpuinfo) == flags


def test_instructions_name_the_architecture_first_so_that_an_emulated_one_differs():
    assert instructions().split()[0] == platform.machine()
