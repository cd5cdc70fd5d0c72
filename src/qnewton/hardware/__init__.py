"""From a workload to seconds: calibrated for the machine at hand, modelled for a quantum one."""

from .assumptions import AbstractAssumptions as AbstractAssumptions
from .assumptions import Paper as Paper
from .classical import ClassicalMachine as ClassicalMachine
from .classical import KernelTimes as KernelTimes
from .classical import fit as fit
from .measure import describe_machine as describe_machine
from .measure import median_seconds as median_seconds
from .quantum import QuantumMachine as QuantumMachine
